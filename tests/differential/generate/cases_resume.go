package main

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// clusterCA is an authority that issues to kubelets, by whose certificate machines know the API server as well.
type clusterCA struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

func newClusterCA(seed string) clusterCA {
	key := p256(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"},
		NotBefore: at("2026-01-01T00:00:00Z"), NotAfter: at("2036-01-01T00:00:00Z"),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return clusterCA{key, issue(template, template, key.Public(), key)}
}

// kubelet is the certificate of a node with this key, which held for four minutes from a minute after its Machine was made.
func (ca clusterCA) kubelet(node string, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{nodes}, CommonName: "system:node:" + node},
		NotBefore: at("2026-11-23T10:01:00Z"), NotAfter: at("2026-11-23T10:05:00Z"),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	return issue(template, ca.certificate, key.Public(), ca.key)
}

func issue(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(nil, template, parent, public, by)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	return certificate
}

func at(text string) time.Time {
	moment, err := time.Parse(time.RFC3339, text)
	check(err)
	return moment
}

// comes is what a node that comes back brings, before one thing is changed.
type comes struct {
	scene   *scene
	machine *machineObject
	request *certificateRequest
	ca      clusterCA
	// held is the key of its certificate of before; change is what is otherwise about that certificate.
	held   crypto.Signer
	change func(*x509.Certificate)
	claim  func(*claim)
}

// back is a case of a node that was off until its certificate expired: a bootstrapper asks for it, and shows that certificate.
func back(name, about string, change func(c *comes)) *scene {
	return known(name, about, func(s *scene, m *machineObject, r *certificateRequest) {
		r.by(bootstrapper, "system:serviceaccounts", "system:authenticated").approve("Resume")
		c := &comes{
			scene: s, machine: m, request: r, ca: newClusterCA("cluster ca"), held: p256("held by " + name),
			change: func(*x509.Certificate) {}, claim: func(*claim) {},
		}
		s.add("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.certificate.Raw}), "--kubelet-ca")
		change(c)
		if r.pem == nil {
			r.pem = c.shown()
		}
	})
}

// shown is the request with the statement that its machine holds the certificate.
func (c *comes) shown() []byte {
	certificate := c.ca.kubelet(c.request.node, c.held, c.change)
	statement := by(c.held, ecdsaSHA256).but(func(statement *claim) {
		statement.kind, statement.shown = previousCertificate, certificate.Raw
		statement.request, statement.node = spki(c.request.pkcs10.key), c.request.node
		statement.cluster = sum(c.ca.certificate.Raw)
		c.claim(statement)
	})
	return append(armour(c.request.pkcs10.der()), evidenceBlock(evidence(statement.statement()))...)
}

// resumeCases are about nodes that were off until their certificate expired.
func resumeCases() []*scene {
	const unproven = "does not prove that it comes from Machine"
	return []*scene{
		back("resume", "a node that was off comes back by itself", func(c *comes) {}),
		back("resume-node-deleted", "its Node was deleted meanwhile: its Machine knows it still", func(c *comes) {
			c.scene.nodes = nil
		}),
		back("resume-too-late", "off for longer than a month", func(c *comes) {
			c.scene.at, c.request.created = "2027-05-01T10:00:00Z", "2027-05-01T09:59:00Z"
			c.request.hold("longer than 720h", "EvidenceInvalid")
		}),
		back("resume-off", "nobody comes back where that is switched off", func(c *comes) {
			c.scene.config = "bootstrap: {resume: {enabled: false}}\n"
			c.request.hold("a first certificate is for a new one", "NodeExists", "MachineBound")
		}),
		back("resume-months-later", "however long it was off, where that is allowed", func(c *comes) {
			c.scene.config = "bootstrap: {resume: {maxExpired: 8760h}}\n"
			c.scene.at, c.request.created = "2027-05-01T10:00:00Z", "2027-05-01T09:59:00Z"
		}),
		back("resume-nothing-shown", "whoever shows nothing is a stranger", func(c *comes) {
			c.request.pem = armour(c.request.pkcs10.der())
			c.request.hold("a first certificate is for a new one", "NodeExists", "MachineBound")
		}),
		back("resume-copied", "the statement of another request, copied", func(c *comes) {
			c.claim = func(statement *claim) { statement.request = spki(p256("another request")) }
			c.request.hold("is not to be believed", "EvidenceInvalid")
		}),
		back("resume-certificate-of-another-node", "a neighbour that wants to be somebody else", func(c *comes) {
			c.change = func(template *x509.Certificate) { template.Subject.CommonName = "system:node:neighbour" }
			c.request.hold(unproven, "EvidenceInvalid")
		}),
		back("resume-certificate-by-another-ca", "a certificate that anybody can make", func(c *comes) {
			own := c.ca
			c.ca = newClusterCA("somebody else's ca")
			c.claim = func(statement *claim) { statement.cluster = sum(own.certificate.Raw) }
			c.request.hold(unproven, "EvidenceInvalid")
		}),
		back("resume-serving-certificate", "a certificate for serving is none for asking", func(c *comes) {
			c.change = func(template *x509.Certificate) {
				template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}
			c.request.hold(unproven, "EvidenceInvalid")
		}),
		back("resume-earlier-machine", "the certificate of an earlier machine of that name", func(c *comes) {
			c.change = func(template *x509.Certificate) { template.NotBefore = at("2026-11-23T09:00:00Z") }
			c.request.hold("to an earlier machine of that name", "EvidenceInvalid")
		}),
		back("resume-another-cluster", "made for another cluster", func(c *comes) {
			c.claim = func(statement *claim) { statement.cluster = otherCluster }
			c.request.hold("which is none of this one's", "EvidenceInvalid")
		}),
		back("resume-machine-deleting", "its Machine is going away", func(c *comes) {
			c.machine.deleted, c.machine.phase = "2026-11-23T10:07:00Z", "Deleting"
			c.request.hold("is being deleted", "MachineDeleting")
		}),
		back("resume-machine-gone", "its Machine is gone", func(c *comes) {
			c.scene.machines = nil
			c.request.nobody().hold("none owns the name by an address", "MachineNotFound")
		}),
		back("resume-superseded", "the newest that proves it wins", func(c *comes) {
			before := c.scene.request("before", c.request.node)
			before.created = "2026-11-23T10:07:00Z"
			older := *c
			older.request = before
			before.pem = older.shown()
			before.hold("by the same node is newer", "Superseded")
		}),
		back("resume-stranger-beside", "a stranger's newer request stands in nobody's way", func(c *comes) {
			newer := c.scene.request("newer", c.request.node)
			newer.created = "2026-11-23T10:09:00Z"
			newer.hold("a first certificate is for a new one", "NodeExists", "MachineBound", "Contested")
		}),
	}
}

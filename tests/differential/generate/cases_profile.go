package main

import (
	"crypto/elliptic"
	"encoding/pem"
	"strings"
)

// profileCases are requests that can be read and that no kubelet makes.
func profileCases() []*scene {
	named := func(r *certificateRequest, name string) {
		r.pkcs10.subject = subject(organization(nodes), commonName(name))
		r.unreadable()
	}
	return []*scene{
		first("profile-usage-twice", "one usage twice", func(s *scene, m *machineObject, r *certificateRequest) {
			r.usages = []string{"digital signature", "client auth", "client auth"}
			r.deny("the usages are [digital signature, client auth, client auth]", "UsagesNotAllowed")
		}),
		first("profile-usages-of-both-signers", "client and server in one", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = append(r.usages, "server auth")
			r.deny("kubernetes.io/kube-apiserver-client-kubelet takes [digital signature, client auth]", "UsagesNotAllowed")
		}),
		first("profile-usages-of-the-other-signer", "a serving certificate from the client signer", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = []string{"digital signature", "server auth"}
			r.deny("the usages are [digital signature, server auth]", "UsagesNotAllowed")
		}),
		first("profile-usages-in-capitals", "usages are compared as they stand", func(s *scene, m *machineObject, r *certificateRequest) {
			r.usages = []string{"Digital Signature", "Client Auth"}
			r.deny("the usages are [Digital Signature, Client Auth]", "UsagesNotAllowed")
		}),
		first("profile-no-usages", "no usage at all", func(s *scene, m *machineObject, r *certificateRequest) {
			r.usages = nil
			r.deny("the usages are []", "UsagesNotAllowed")
		}),
		first("profile-certificate-signing", "a certificate that could sign others", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = append(r.usages, "cert sign")
			r.deny("cert sign", "UsagesNotAllowed")
		}),
		first("profile-other-group", "the group of administrators", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization("system:masters"), commonName("system:node:"+r.node))
			r.deny("the organization is \"system:masters\"", "OrganizationNotNodes")
		}),
		first("profile-group-in-capitals", "groups are compared as they stand", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization("System:Nodes"), commonName("system:node:"+r.node))
			r.deny("the organization is \"System:Nodes\"", "OrganizationNotNodes")
		}),
		first("profile-name-in-capitals", "no Node can be called so, though the Machine can", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			named(r, "system:node:Profile-Name-In-Capitals")
			r.deny("is not a lower-case RFC 1123 subdomain", "CommonNameNotANode")
		}),
		first("profile-name-with-a-dot", "a trailing dot", func(s *scene, m *machineObject, r *certificateRequest) {
			named(r, "system:node:"+r.node+".")
			r.deny("is not a lower-case RFC 1123 subdomain", "CommonNameNotANode")
		}),
		first("profile-name-empty", "the prefix and nothing behind it", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			named(r, "system:node:")
			r.deny("the node name is empty", "CommonNameNotANode")
		}),
		first("profile-name-without-prefix", "the node's name alone", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			named(r, r.node)
			r.deny("it does not begin with system:node:", "CommonNameNotANode")
		}),
		first("profile-name-with-blank", "a blank in the name", func(s *scene, m *machineObject, r *certificateRequest) {
			named(r, "system:node:worker 0")
			r.deny("is not a lower-case RFC 1123 subdomain", "CommonNameNotANode")
		}),
		first("profile-name-too-long", "254 characters", func(s *scene, m *machineObject, r *certificateRequest) {
			named(r, "system:node:"+strings.Repeat("a", 254))
			r.deny("the node name has 254 characters; 253 are allowed", "CommonNameNotANode")
		}),
		first("profile-name-of-an-administrator", "somebody who is no node", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization("system:masters"), commonName("kubernetes-admin"))
			r.unreadable().deny("the organization is \"system:masters\"", "OrganizationNotNodes", "CommonNameNotANode")
		}),
		first("profile-names-of-all-kinds", "a client certificate with names of every kind", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.attributes = sans(dns("kubernetes"), ip(10, 96, 0, 1), email("root@example.com"), uri("spiffe://cluster.local/ns/a/sa/b"))
			r.deny("the request asks for the names [kubernetes, root@example.com, spiffe://cluster.local/ns/a/sa/b, 10.96.0.1]", "NamesNotAllowed")
		}),
		first("profile-own-name", "even its own name has no place in a client certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.attributes = sans(dns(r.node))
			r.deny("a client certificate may hold none", "NamesNotAllowed")
		}),
		first("profile-held", "wrong for ever, and held where the configuration denies only what cannot be read", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "deny: [malformed]\n"
			r.usages = append(r.usages, "server auth")
			r.hold("server auth", "UsagesNotAllowed")
		}),
		first("profile-nothing-denied", "a cluster where only people deny", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "deny: []\n"
			r.pkcs10.attributes = sans(dns("kubernetes"))
			r.hold("a client certificate may hold none", "NamesNotAllowed")
			b := s.request("unreadable", r.node).unreadable()
			b.pem = []byte("-----BEGIN CERTIFICATE REQUEST-----\n")
			b.hold("(", "RequestMalformed")
		}),
		first("profile-wrong-and-unexpected", "every reason is told, the one that denies first", func(s *scene, m *machineObject, r *certificateRequest) {
			s.machines = nil
			s.registered(r.node)
			r.usages = []string{"any"}
			r.nobody().deny("no Machine owns the node name", "UsagesNotAllowed", "MachineNotFound", "NodeExists")
		}),
		first("profile-of-a-visitor", "what others ask for is not judged at all", func(s *scene, m *machineObject, r *certificateRequest) {
			r.by("visitor").usages = []string{"any"}
			r.ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
	}
}

// malformedCases are requests that are not read, because Go and Rust could see different things in them.
func malformedCases() []*scene {
	refuse := func(name, about, word string, change func(r *certificateRequest)) *scene {
		return first("malformed-"+name, about, func(s *scene, m *machineObject, r *certificateRequest) {
			r.unreadable().deny("("+word+")", "RequestMalformed")
			change(r)
		})
	}
	live := func(s *scene) *scene { s.live = true; return s }
	names := func(r *certificateRequest, rdns ...[]byte) { r.pkcs10.subject = subject(rdns...) }
	worker, group := commonName("system:node:worker-0"), organization(nodes)
	return []*scene{
		live(refuse("two-names", "Go signs the second common name", "SeveralCommonNames", func(r *certificateRequest) {
			names(r, group, worker, commonName("system:node:evil"))
		})),
		live(refuse("two-groups", "a second group", "SeveralOrganizations", func(r *certificateRequest) {
			names(r, group, organization("system:masters"), worker)
		})),
		live(refuse("unit", "an organizational unit would stand in the certificate", "ForeignSubjectAttribute", func(r *certificateRequest) {
			names(r, group, worker, rdn(attribute(oidUnit, tagPrintableString, "admins")))
		})),
		refuse("two-in-one", "both attributes in one set", "MultiValuedRdn", func(r *certificateRequest) {
			names(r, rdn(attribute(oidOrganization, tagPrintableString, nodes), attribute(oidCommonName, tagPrintableString, "system:node:worker-0")))
		}),
		refuse("no-group", "no organization", "MissingOrganization", func(r *certificateRequest) { names(r, worker) }),
		refuse("no-name", "no common name", "MissingCommonName", func(r *certificateRequest) { names(r, group) }),
		refuse("nul", "a NUL in the name", "ForbiddenCharacter", func(r *certificateRequest) {
			names(r, group, rdn(attribute(oidCommonName, tagUTF8String, "system:node:worker-0\x00.evil")))
		}),
		live(refuse("hidden-names", "an empty list of extensions before one with a name", "SeveralExtensionRequests", func(r *certificateRequest) {
			r.pkcs10.attributes = attributes(extensionRequest(), extensionRequest(sanExtension(dns("kubernetes"))))
		})),
		refuse("challenge", "a challenge password", "ForeignAttribute", func(r *certificateRequest) {
			r.pkcs10.attributes = attributes(csrAttribute(oidChallenge, tlv(tagUTF8String, []byte("secret"))))
		}),
		live(refuse("authority", "a certificate that is an authority", "ForeignExtension", func(r *certificateRequest) {
			r.pkcs10.attributes = attributes(extensionRequest(extension(oidBasicConstraints, tlv(tagSequence, tlv(tagBoolean, []byte{0xff})))))
		})),
		refuse("small-key", "an RSA key of 1024 bits", "RsaKeySize", func(r *certificateRequest) {
			r.pkcs10.key, r.pkcs10.algorithm = rsaKey(1024, "rsa1024"), rsaSHA256
		}),
		refuse("odd-curve", "a key on P-521", "UnsupportedKey", func(r *certificateRequest) {
			r.pkcs10.key, r.pkcs10.algorithm = ecKey(elliptic.P521(), "p521"), ecdsaSHA512
		}),
		refuse("stolen-key", "somebody else's public key", "BadSignature", func(r *certificateRequest) {
			r.pkcs10.spki = spki(p256("the key of the victim"))
		}),
		refuse("weak-signature", "signed with SHA-1", "UnsupportedSignatureAlgorithm", func(r *certificateRequest) {
			r.pkcs10.algorithm = ecdsaSHA1
		}),
		refuse("der", "DER without armour", "NotPem", func(r *certificateRequest) { r.pem = r.pkcs10.der() }),
		refuse("certificate", "a certificate in place of a request", "WrongPemLabel", func(r *certificateRequest) {
			r.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.pkcs10.der()})
		}),
		refuse("text-before", "text before the block, as OpenSSL writes it", "LeadingData", func(r *certificateRequest) {
			r.pem = append([]byte("Certificate Request:\n"), armour(r.pkcs10.der())...)
		}),
		refuse("headers", "headers in the block", "PemHeaders", func(r *certificateRequest) {
			r.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Headers: map[string]string{"a": "b"}, Bytes: r.pkcs10.der()})
		}),
		refuse("bytes-behind", "a byte behind the DER", "TrailingDer", func(r *certificateRequest) {
			r.pem = armour(append(r.pkcs10.der(), 0))
		}),
		refuse("too-large", "a megabyte is no kubelet's", "TooLarge", func(r *certificateRequest) {
			r.pem = []byte(strings.Repeat("a", 20_000))
		}),
		first("malformed-and-usages", "unreadable, and with usages of its own", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pem, r.usages = []byte("no request"), []string{"any"}
			r.unreadable().deny("the usages are [any]", "RequestMalformed", "UsagesNotAllowed")
		}),
		known("malformed-renewal", "a node's own request is read as strictly", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization(nodes), commonName("system:node:"+r.node), commonName("system:node:"+r.node))
			r.unreadable().deny("(SeveralCommonNames)", "RequestMalformed")
		}),
		served("malformed-mapped-address", "an IPv4 address in IPv6 form, which Go turns into another one", func(s *scene, m *machineObject, r *certificateRequest) {
			mapped := append(make([]byte, 10), 0xff, 0xff, 10, 0, 0, 1)
			r.serving(dns(r.node), ip(mapped...)).unreadable().deny("(MappedIpAddress)", "RequestMalformed")
		}),
		served("malformed-other-name", "a name of a form that Go drops without a word", func(s *scene, m *machineObject, r *certificateRequest) {
			other := tlv(0xa0, oid(1, 3, 6, 1, 4, 1, 311, 20, 2, 3), tlv(0xa0, tlv(tagUTF8String, []byte("root"))))
			r.serving(dns(r.node), other).unreadable().deny("(UnsupportedGeneralName)", "RequestMalformed")
		}),
	}
}

// machineCases are about the state of the Machine.
func machineCases() []*scene {
	return []*scene{
		first("machine-failed-by-reason", "failed by its error, whatever its phase says", func(s *scene, m *machineObject, r *certificateRequest) {
			m.errorReason = "InvalidConfiguration"
			r.hold("has failed for good (phase Provisioned)", "MachineFailed")
		}),
		first("machine-deleting-by-phase", "its instance is being taken away, and nobody asked for its deletion", func(s *scene, m *machineObject, r *certificateRequest) {
			m.phase = "Deleting"
			r.hold("is being deleted", "MachineDeleting")
		}),
		first("machine-everything-at-once", "bound, going away and failed", func(s *scene, m *machineObject, r *certificateRequest) {
			m.nodeRef, m.deleted, m.phase = r.node, "2026-11-23T10:07:00Z", "Failed"
			r.hold("has become Node machine-everything-at-once already", "MachineBound", "MachineDeleting", "MachineFailed")
		}),
		first("machine-running-without-node", "its phase says Running and no Node is named: the phase is only shown", func(s *scene, m *machineObject, r *certificateRequest) {
			m.phase = "Running"
		}),
		first("machine-is-another-node", "it owns the name by an address and has become another Node", func(s *scene, m *machineObject, r *certificateRequest) {
			m.nodeRef = "another"
			r.hold("has become Node another already", "MachineBound")
		}),
		first("machine-owner-by-reference-only", "no address, but it has become this Node", func(s *scene, m *machineObject, r *certificateRequest) {
			m.nodeRef, m.addresses = r.node, nil
			r.hold("has become Node", "MachineBound")
		}),
		first("machine-twice-by-case", "two Machines whose names differ in case and a dot only", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.machine("machine-twice-by-case-n", "x").addresses = [][2]string{{"InternalDNS", "MACHINE-twice-by-case."}}
			r.nobody().hold("several Machines own the node name", "MachineAmbiguous")
		}),
		first("machine-and-its-replacement", "the old one is not gone yet, and contests nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.deleted, m.phase = "2026-11-23T10:02:00Z", "Deleting"
			r.judgedBy = s.machine("machine-and-its-replacement-n", r.node)
			r.approve("FirstCertificate")
		}),
		first("machine-failed-beside-a-good-one", "a failed Machine contests nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			m.phase = "Failed"
			r.judgedBy = s.machine("machine-failed-beside-a-good-one-n", r.node)
			r.approve("FirstCertificate")
		}),
		first("machine-in-two-namespaces", "two namespaces, one name", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "machines:\n- openshift: {namespace: openshift-machine-api}\n- openshift: {namespace: spare}\n"
			s.machine("other", r.node).namespace = "spare"
			r.nobody().hold("spare/other", "MachineAmbiguous")
		}),
		first("machine-in-a-namespace-not-read", "a Machine of a namespace that the configuration leaves out does not count", func(s *scene, m *machineObject, r *certificateRequest) {
			s.machine("other", r.node).namespace = "spare"
			s.stderr = []string{"warning: 1 Machines (openshift in spare) are not on the roll"}
		}),
		first("machine-without-namespace", "written by hand", func(s *scene, m *machineObject, r *certificateRequest) {
			m.withoutNamespace, m.namespace = true, ""
		}),
		first("machine-replaced-since", "the request was made for the Machine that had the name before", func(s *scene, m *machineObject, r *certificateRequest) {
			m.created = "2026-11-23T10:06:00Z"
			r.hold("before Machine", "OutsideJoinWindow")
		}),
		first("machine-of-the-same-name-again", "a Machine deleted and made again under its old name: the later record counts", func(s *scene, m *machineObject, r *certificateRequest) {
			m.created, m.phase, m.nodeRef = "2026-11-22T10:00:00Z", "Running", r.node
			again := s.machine(m.name, r.node)
			again.created = machineTime
			s.stderr = []string{"Machine machine-of-the-same-name-again-m is there already"}
		}),
		first("machine-renamed-node", "its Node was called otherwise before; now the Machine owns both names", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"InternalDNS", "old-name"})
			s.registered("old-name")
		}),
		first("machine-with-odd-addresses", "what is neither a name nor an address matches nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"InternalIP", "not an address"}, [2]string{"Hostname", "*"}, [2]string{"Pigeon", "10.0.0.1"})
		}),
		first("machine-with-too-many-addresses", "no machine has 257 addresses: the record is not believed", func(s *scene, m *machineObject, r *certificateRequest) {
			for len(m.addresses) < 257 {
				m.addresses = append(m.addresses, [2]string{"InternalIP", "10.1.1.1"})
			}
			s.stderr = []string{"Machine machine-with-too-many-addresses-m cannot be read and is left out", "257 entries"}
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("machine-bound-to-nothing-readable", "a reference that names no Node must not pass for none", func(s *scene, m *machineObject, r *certificateRequest) {
			m.nodeRef = "a b"
			s.stderr = []string{"cannot be read and is left out: status.nodeRef names no node"}
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("node-of-another-machine", "other Nodes are in nobody's way", func(s *scene, m *machineObject, r *certificateRequest) {
			s.registered("worker-9")
		}),
		first("node-left-behind", "a Node from before the Machine was made", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.registered(r.node).created = "2026-11-01T00:00:00Z"
			r.hold("a first certificate is for a new one", "NodeExists")
		}),
		first("node-of-a-spent-machine", "it has joined, and another key asks", func(s *scene, m *machineObject, r *certificateRequest) {
			s.registered(r.node)
			m.nodeRef, m.phase = r.node, "Running"
			e := s.request("before", r.node)
			e.created = "2026-11-23T10:01:00Z"
			e.decided("Approved", "FirstCertificate", "2026-11-23T10:01:01Z")
			r.hold("exists since 2026-11-23T10:06:00Z", "NodeExists", "MachineBound", "AlreadyIssued")
		}),
	}
}

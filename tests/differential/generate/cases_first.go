package main

import (
	"crypto/elliptic"
	"strings"
)

// firstCases are about who asks for a first certificate, by which name, and when.
func firstCases() []*scene {
	named := func(m *machineObject, r *certificateRequest, name string) {
		m.addresses[1][1] = name
		m.addresses[2][1] = name
		r.pkcs10.subject = subject(organization(nodes), commonName("system:node:"+name))
		r.node = name
	}
	return []*scene{
		first("first-openshift-3", "the bootstrapper of OpenShift 3.11", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("system:serviceaccount:openshift-infra:node-bootstrapper")
		}),
		first("first-bootstrap-token", "a bootstrap token, as kubeadm and Cluster API hand them out", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("system:bootstrap:abcdef", "system:bootstrappers")
		}),
		first("first-rsa-key-encipherment", "an RSA key, with the usage that old kubelets add", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.key, r.pkcs10.algorithm = rsaKey(2048, "rsa2048"), rsaSHA256
			r.usages = []string{"digital signature", "key encipherment", "client auth"}
		}),
		first("first-ecdsa-key-encipherment", "key encipherment makes no sense for an elliptic curve, and kubelets before 1.27 ask for it", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = []string{"key encipherment", "digital signature", "client auth"}
		}),
		first("first-p384", "a key on P-384", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.key, r.pkcs10.algorithm = ecKey(elliptic.P384(), "p384"), ecdsaSHA384
		}),
		first("first-ed25519", "an Ed25519 key", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.key, r.pkcs10.algorithm = ed25519Key("ed25519"), pureEd25519
		}),
		first("first-usages-in-another-order", "the usages are a set", func(s *scene, m *machineObject, r *certificateRequest) {
			r.usages = []string{"client auth", "digital signature"}
		}),
		first("first-common-name-first", "CN before O in the subject", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.subject = subject(commonName("system:node:"+r.node), organization(nodes))
		}),
		first("first-hostname-only", "the Machine knows its host name and no InternalDNS", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"InternalIP", s.ip(10)}, {"Hostname", r.node}}
		}),
		first("first-upper-case-and-dot-in-the-machine", "DNS names compare without case and trailing dot", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.addresses = [][2]string{{"InternalDNS", "First-Upper-Case-And-Dot-In-The-Machine."}}
		}),
		first("first-long-name", "the name that a cloud gives", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses[1][1] = "ip-10-0-1-5.eu-west-1.compute.internal"
			r.pkcs10.subject = subject(organization(nodes), commonName("system:node:ip-10-0-1-5.eu-west-1.compute.internal"))
			r.node = "ip-10-0-1-5.eu-west-1.compute.internal"
		}),
		first("first-name-of-63", "the longest name that a label takes", func(s *scene, m *machineObject, r *certificateRequest) {
			named(m, r, "first-name-of-63-"+strings.Repeat("n", 46))
		}),
		first("first-name-of-64", "a name that is too long for the label that kubelet registers with: approved, with a warning", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			named(m, r, "first-name-of-64-"+strings.Repeat("n", 47))
			r.approve("FirstCertificate", "NameTooLong")
		}),
		first("first-name-of-many-parts", "the length is that of the whole name", func(s *scene, m *machineObject, r *certificateRequest) {
			named(m, r, "first-name-of-many-parts."+strings.Repeat("part.", 20)+"example.com")
			r.approve("FirstCertificate", "NameTooLong")
		}),
		first("first-short-name-of-a-long-one", "a short name is not the fully qualified one", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"InternalDNS", r.node + ".example.com"}}
			r.nobody().hold("no Machine owns the node name first-short-name-of-a-long-one", "MachineNotFound")
		}),
		first("first-long-name-of-a-short-one", "nor the other way round", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization(nodes), commonName("system:node:"+r.node+".example.com"))
			r.node += ".example.com"
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("first-external-name-only", "what the outside calls a machine is not its node's name", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"ExternalDNS", r.node}}
			r.nobody().hold("nameStrategies say how a Machine owns one", "MachineNotFound")
		}),
		first("first-name-of-the-machine-only", "the Machine is called like the node, but has no addresses yet", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.name, m.addresses, m.phase = r.node, nil, "Provisioning"
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("first-addresses-late", "the Machine has its instance, and an empty list of addresses", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{}
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("first-without-status", "the Machine was made this moment", func(s *scene, m *machineObject, r *certificateRequest) {
			m.withoutStatus = true
			r.nobody().hold("no Machine owns the node name", "MachineNotFound")
		}),
		first("first-localhost", "an image without a host name", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization(nodes), commonName("system:node:localhost.localdomain"))
			r.node = "localhost.localdomain"
			r.nobody().hold("no Machine owns the node name localhost.localdomain", "MachineNotFound")
		}),
		first("window-end", "exactly two hours after the Machine: the end is outside", func(s *scene, m *machineObject, r *certificateRequest) {
			r.created, s.at = "2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z"
			r.hold("later than 2h after Machine", "OutsideJoinWindow")
		}),
		first("window-last-second", "a second earlier", func(s *scene, m *machineObject, r *certificateRequest) {
			r.created, s.at = "2026-11-23T11:59:59Z", "2026-11-23T12:00:00Z"
		}),
		first("window-skew-end", "exactly ten seconds before the Machine: the begin is outside", func(s *scene, m *machineObject, r *certificateRequest) {
			r.created = "2026-11-23T09:59:50Z"
			r.hold("before Machine openshift-machine-api/window-skew-end-m was created", "OutsideJoinWindow")
		}),
		first("window-skew-inside", "nine seconds before: another replica's clock", func(s *scene, m *machineObject, r *certificateRequest) {
			r.created = "2026-11-23T09:59:51Z"
		}),
		first("window-shorter", "a window of a quarter of an hour", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {joinWindow: 15m}\n"
			r.created, s.at = "2026-11-23T10:20:00Z", "2026-11-23T10:20:01Z"
			r.hold("later than 15m after Machine", "OutsideJoinWindow")
		}),
		first("window-longer", "bare metal takes its time", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {joinWindow: 24h}\n"
			r.created, s.at = "2026-11-24T06:00:00Z", "2026-11-24T06:00:01Z"
		}),
		first("window-without-skew", "without any skew the second of the Machine's creation is outside", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {clockSkew: 0s}\n"
			r.created = machineTime
			r.hold("before Machine", "OutsideJoinWindow")
		}),
		first("window-without-skew-a-second-later", "and the next one inside", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {clockSkew: 0s}\n"
			r.created = "2026-11-23T10:00:01Z"
		}),
		first("window-judged-days-later", "a request is approved for as long as it could be made", func(s *scene, m *machineObject, r *certificateRequest) {
			s.at = "2026-11-26T10:00:00Z"
			r.hold("is expected no more by now", "OutsideJoinWindow")
		}),
		first("window-machine-of-last-week", "a request of today, a Machine of last week", func(s *scene, m *machineObject, r *certificateRequest) {
			m.created = "2026-11-16T10:00:00Z"
			r.hold("later than 2h after Machine", "OutsideJoinWindow")
		}),
		first("requestor-by-user-and-group", "a rule that names both wants both", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap:\n  requestors:\n  - username: imager\n    group: bakers\n"
			r.by("imager", "bakers")
			s.request("without-the-group", r.node).by("imager").ignore("is no node and no bootstrapper", "RequestorNotAllowed")
			s.request("another-user", r.node).by("visitor", "bakers").ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
		first("requestor-replaced", "a list of one's own takes the place of the usual one", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap:\n  requestors:\n  - group: bakers\n"
			r.ignore("is no node and no bootstrapper that the configuration names", "RequestorNotAllowed")
		}),
		first("requestor-in-capitals", "user names are compared as they stand", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("system:serviceaccount:openshift-machine-config-operator:NODE-BOOTSTRAPPER")
			r.ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
		first("requestor-admin", "the rights of an administrator make nobody a bootstrapper", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("kubernetes-admin", "system:masters")
			r.ignore("\"kubernetes-admin\" is no node", "RequestorNotAllowed")
		}),
		first("requestor-group-of-the-same-prefix", "kubeadm's own group is not the one that every token is in", func(s *scene, m *machineObject, r *certificateRequest) {
			r.by("system:bootstrap:abcdef", "system:bootstrappers:kubeadm:default-node-token")
			r.ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
		first("requestor-node-without-its-group", "called like a node, and in no node's group", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("system:node:" + r.node)
			r.ignore("is called like a node but is not in the group \"system:nodes\"", "RequestorNotAllowed")
		}),
		first("requestor-node-and-bootstrapper", "a node that got a bootstrapper's group asks for itself all the same", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by("system:node:"+r.node, nodes, "system:bootstrappers")
			r.nobody().hold("there is no Node "+r.node, "NodeNotFound", "MachineNotBound")
		}),
		first("requestor-node-for-another-machine", "a node cannot fetch the first certificate of a machine that is expected", func(s *scene, m *machineObject, r *certificateRequest) {
			r.by("system:node:worker-9", nodes)
			r.nobody().deny("a node may ask for itself only", "RequestorNotSubject", "NodeNotFound", "MachineNotBound")
		}),
		first("decided-by-hand", "a person approved it with rollcall-approver", func(s *scene, m *machineObject, r *certificateRequest) {
			r.decided("Approved", "ManualApproval", "2026-11-23T10:06:00Z")
		}),
		first("denied-by-hand", "a person denied it with rollcall-approver", func(s *scene, m *machineObject, r *certificateRequest) {
			r.decided("Denied", "ManualDenial", "2026-11-23T10:06:00Z")
		}),
		first("decided-failed", "approved, and the signer could not", func(s *scene, m *machineObject, r *certificateRequest) {
			r.decided("Approved", "FirstCertificate", "2026-11-23T10:06:00Z")
			r.decided("Failed", "SignerValidationFailure", "2026-11-23T10:06:01Z")
		}),
		first("mode-manual", "in manual mode the verdict is the same; only nobody writes it", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "mode: manual\n"
		}),
		first("mode-audit", "and in audit mode", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "mode: audit\n"
			s.request("stranger", "stranger").nobody().hold("no Machine owns the node name stranger", "MachineNotFound")
		}),
		first("stale-nodes", "the watch of Nodes is lost: whether there is one is not known", func(s *scene, m *machineObject, r *certificateRequest) {
			s.lost = &lostFeed{"nodes", "2026-11-23T10:08:00Z"}
			r.hold("the watch of nodes was lost 120 s ago", "FactsStale")
		}),
		first("stale-machines", "the watch of Machines is lost, and a Node is there", func(s *scene, m *machineObject, r *certificateRequest) {
			s.lost = &lostFeed{"machines", "2026-11-23T10:08:59Z"}
			s.registered(r.node)
			r.hold("was lost 61 s ago", "FactsStale", "NodeExists")
		}),
		first("stale-not-yet", "lost for exactly as long as facts are trusted", func(s *scene, m *machineObject, r *certificateRequest) {
			s.lost = &lostFeed{"requests", "2026-11-23T10:09:00Z"}
		}),
		first("stale-sooner", "facts are trusted for ten seconds only", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "maxStaleness: 10s\n"
			s.lost = &lostFeed{"requests", "2026-11-23T10:09:00Z"}
			r.hold("was lost 60 s ago", "FactsStale")
		}),
		first("stale-and-malformed", "what is wrong for ever is denied without any fact", func(s *scene, m *machineObject, r *certificateRequest) {
			s.lost = &lostFeed{"nodes", "2026-11-23T10:00:00Z"}
			r.usages = []string{"client auth"}
			r.deny("the usages are [client auth]", "UsagesNotAllowed", "FactsStale")
		}),
	}
}

// claimCases are about a Machine that is spent, or not.
func claimCases() []*scene {
	// earlier is a request for the same node with another key, decided before.
	earlier := func(s *scene, r *certificateRequest, name, kind, at string) *certificateRequest {
		e := s.request(name, r.node)
		e.created = "2026-11-23T10:01:00Z"
		return e.decided(kind, "FirstCertificate", at)
	}
	return []*scene{
		first("claim-same-key", "one approved request of a key at a time: the one that is there gives it its certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:59Z").pkcs10.key = r.pkcs10.key
			r.hold("request before for the same key is approved", "AlreadyIssued")
		}),
		first("claim-free-at-the-minute", "exactly a minute after the approval another key may have it", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {reissueAfter: 1m}\n"
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:00Z")
			r.approve("FirstCertificate", "Reissued")
		}),
		first("claim-a-second-early", "a second before that it may not", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {reissueAfter: 1m}\n"
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:01Z")
			r.hold("1 of at most 3, and its Node has not appeared", "AlreadyIssued")
		}),
		first("claim-free-after-five-minutes", "where nothing is set, five minutes after the approval", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:05:00Z")
			r.approve("FirstCertificate", "Reissued")
		}),
		first("claim-in-use", "its holder has asked for a serving certificate: nobody else has the Machine", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:02:00Z")
			u := s.request("used", r.node).serving(dns(r.node)).itself()
			u.created = "2026-11-23T10:02:30Z"
			u.decided("Denied", "Other", "2026-11-23T10:02:31Z")
			r.hold("its holder has used the certificate", "AlreadyIssued")
		}),
		first("claim-used-up", "three keys had it", func(s *scene, m *machineObject, r *certificateRequest) {
			for _, name := range []string{"one", "two", "three"} {
				earlier(s, r, name, "Approved", "2026-11-23T10:02:00Z")
			}
			r.hold("3 of at most 3", "AlreadyIssued")
		}),
		first("claim-counts-keys", "three approvals of two keys are two", func(s *scene, m *machineObject, r *certificateRequest) {
			one := earlier(s, r, "one", "Approved", "2026-11-23T10:02:00Z")
			earlier(s, r, "two", "Approved", "2026-11-23T10:03:00Z").pkcs10.key = one.pkcs10.key
			earlier(s, r, "three", "Approved", "2026-11-23T10:04:00Z")
			r.approve("FirstCertificate", "Reissued")
		}),
		first("claim-only-once", "a strict pool: one key for each Machine", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {maxIssues: 1}\n"
			earlier(s, r, "before", "Approved", "2026-11-23T10:02:00Z")
			r.hold("1 of at most 1", "AlreadyIssued")
		}),
		first("claim-wait-longer", "another key has to wait ten minutes", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {reissueAfter: 10m}\n"
			earlier(s, r, "before", "Approved", "2026-11-23T10:02:00Z")
			r.hold("for another key", "AlreadyIssued")
		}),
		first("claim-newest-approval-counts", "the time begins with the last approval", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "one", "Approved", "2026-11-23T10:09:30Z")
			earlier(s, r, "two", "Approved", "2026-11-23T10:02:00Z")
			r.hold("a certificate was approved at 2026-11-23T10:09:30Z for another key", "AlreadyIssued")
		}),
		first("claim-denied-spends-nothing", "a denied request", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Denied", "2026-11-23T10:09:30Z")
		}),
		first("claim-failed-spends-nothing", "approved, but the signer failed for good", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z").decided("Failed", "SignerValidationFailure", "2026-11-23T10:09:31Z")
		}),
		first("claim-without-a-time", "an approval that does not say when is the oldest there can be, and counts", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "")
			r.approve("FirstCertificate", "Reissued")
		}),
		first("claim-of-an-earlier-machine", "approved before this Machine was made: an earlier machine of that name", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z").created = "2026-11-23T09:00:00Z"
		}),
		first("claim-of-a-renewal", "what the node itself was given spends nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z").itself()
		}),
		first("claim-by-others", "whoever approved it, and whoever asked: the Machine is spent", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z").by("visitor")
			r.hold("for another key", "AlreadyIssued")
		}),
		first("claim-of-a-serving-certificate", "another signer's certificate spends nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z").serving(dns(r.node)).itself()
		}),
		first("claim-of-another-machine", "the neighbour's certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			s.machine("neighbour-m", "neighbour")
			n := s.request("neighbour", "neighbour")
			n.decided("Approved", "FirstCertificate", "2026-11-23T10:09:30Z")
		}),
		first("claim-by-the-other-name", "a Machine of two names is spent under either", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"InternalDNS", r.node}, {"Hostname", "other-name"}}
			e := s.request("before", "other-name")
			e.created = "2026-11-23T10:01:00Z"
			e.decided("Approved", "FirstCertificate", "2026-11-23T10:09:30Z")
			r.hold("for another key", "AlreadyIssued")
		}),
		first("claim-and-no-machine", "the replacement of a spent Machine may be spent anew", func(s *scene, m *machineObject, r *certificateRequest) {
			m.created = "2026-11-23T10:04:00Z"
			earlier(s, r, "before", "Approved", "2026-11-23T10:09:30Z")
		}),
	}
}

// rivalCases are about several requests for one Machine.
func rivalCases() []*scene {
	older := func(s *scene, r *certificateRequest, name string) *certificateRequest {
		o := s.request(name, r.node)
		o.created = "2026-11-23T10:03:00Z"
		return o
	}
	return []*scene{
		first("rival-three-keys", "a kubelet that starts again and again: the newest wins, and somebody should know", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {contested: newest}\n"
			older(s, r, "one").hold("request rival-three-keys of 2026-11-23T10:05:00Z is newer", "Superseded")
			older(s, r, "two").hold("request rival-three-keys of", "Superseded")
			r.approve("FirstCertificate", "Contested")
		}),
		first("rival-of-the-same-second", "times have seconds only: then the name decides, the same way each time", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {contested: newest}\n"
			r.approve("FirstCertificate", "Contested")
			o := s.request("a-rival", r.node)
			o.hold("request rival-of-the-same-second of", "Superseded")
		}),
		first("rival-with-the-same-key", "asked twice with one key: nothing to warn of", func(s *scene, m *machineObject, r *certificateRequest) {
			o := older(s, r, "before").hold("is newer and asks for the same node", "Superseded")
			o.pkcs10.key = r.pkcs10.key
		}),
		first("rival-that-is-denied", "a newer one that no kubelet would make stands in nobody's way", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:06:00Z"
			n.usages = append(n.usages, "server auth")
			n.deny("server auth", "UsagesNotAllowed")
		}),
		first("rival-of-a-visitor", "nor does one of somebody who is no bootstrapper", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node).by("visitor")
			n.created = "2026-11-23T10:06:00Z"
			n.ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
		first("rival-outside-the-window", "nor one that came too late", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {joinWindow: 6m}\n"
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:07:00Z"
			n.hold("later than 6m", "OutsideJoinWindow")
		}),
		first("rival-that-was-denied", "nor one that was denied", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:06:00Z"
			n.decided("Denied", "Other", "2026-11-23T10:07:00Z")
		}),
		first("rival-at-another-signer", "a request to another signer is about something else", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node).serving(dns(r.node)).itself()
			n.created = "2026-11-23T10:06:00Z"
			n.nobody().hold("there is no Node", "NodeNotFound", "MachineNotBound")
		}),
		first("rival-through-another-bootstrapper", "two credentials for one Machine", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {contested: newest}\n"
			r.approve("FirstCertificate", "Contested")
			older(s, r, "before").by("system:bootstrap:abcdef", "system:bootstrappers").hold("is newer", "Superseded")
		}),
		first("settle-the-first-has-its-chance", "no new key for four minutes: the one that asked first has its chance", func(s *scene, m *machineObject, r *certificateRequest) {
			r.hold("request before asks for the same node with another key", "Contested")
			older(s, r, "before").approve("FirstCertificate", "Contested")
		}),
		first("settle-while-new-keys-come", "a thief who files again and again makes the machine wait, and gets nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			r.hold("asks for the same node with another key", "Contested")
			older(s, r, "before").hold("asks for the same node with another key", "Contested")
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:06:01Z"
			n.hold("asks for the same node with another key", "Contested")
		}),
		first("settle-in-one-second", "names are of their makers' choice: of one second, none is the first", func(s *scene, m *machineObject, r *certificateRequest) {
			r.hold("asks for the same node with another key", "Contested")
			s.request("a-rival", r.node).hold("asks for the same node with another key", "Contested")
		}),
		first("settle-the-last-has-its-chance", "the first did not use its chance", func(s *scene, m *machineObject, r *certificateRequest) {
			e := s.request("first", r.node)
			e.created = "2026-11-23T10:01:00Z"
			e.decided("Approved", "FirstCertificate", "2026-11-23T10:04:00Z")
			older(s, r, "before").hold("request settle-the-last-has-its-chance asks", "Contested")
			r.approve("FirstCertificate", "Reissued", "Contested")
		}),
		first("rival-contested-hold", "all wait where the configuration says so", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {contested: hold}\n"
			r.hold("asks for the same node with another key", "Contested")
			older(s, r, "one").hold("is newer", "Superseded")
			older(s, r, "two").hold("is newer", "Superseded")
		}),
		first("rival-contested-hold-one-key", "but not for one key that asks twice", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {contested: hold}\n"
			older(s, r, "before").hold("is newer", "Superseded").pkcs10.key = r.pkcs10.key
		}),
		first("rival-of-a-spent-machine", "the key that has the Machine has it by its first request, and a newer one has to wait", func(s *scene, m *machineObject, r *certificateRequest) {
			e := s.request("before", r.node)
			e.created = "2026-11-23T10:01:00Z"
			e.decided("Approved", "FirstCertificate", "2026-11-23T10:09:30Z").pkcs10.key = r.pkcs10.key
			r.hold("request before for the same key is approved", "AlreadyIssued")
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:06:00Z"
			n.hold("for another key", "AlreadyIssued")
		}),
	}
}

// proofCases are about what a machine proves with its request.
func proofCases() []*scene {
	// prove puts a statement behind the request: that its machine holds a key, bound to the request after a change.
	prove := func(r *certificateRequest, change func(*claim)) {
		statement := by(p256("a join key"), ecdsaSHA256).but(func(c *claim) {
			c.request, c.node = spki(r.pkcs10.key), r.node
			change(c)
		})
		r.pem = append(armour(r.pkcs10.der()), evidenceBlock(evidence(statement.statement()))...)
	}
	return []*scene{
		first("proof-needed", "the configuration asks every machine for a proof", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {evidence: bound}\n"
			r.hold("evidence of strength bound is required for Machine", "EvidenceMissing")
		}),
		first("proof-needed-by-a-pool", "or those of one pool", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap:\n  pools:\n  - {pool: workers, evidence: bound}\n"
			r.hold("evidence of strength bound is required for Machine", "EvidenceMissing")
		}),
		first("proof-needed-by-another-pool", "a pool that the Machine is not of", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap:\n  pools:\n  - {pool: gateways, evidence: bound}\n"
		}),
		first("proof-not-needed", "of a key that nobody pinned, for a cluster that nobody knows: it counts for nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			prove(r, func(c *claim) {})
		}),
		first("proof-of-another-request", "copied from another request: worth nothing with this key, and somebody should know", func(s *scene, m *machineObject, r *certificateRequest) {
			prove(r, func(c *claim) { c.request = spki(p256("another request")) })
			r.hold("the evidence of the request is not to be believed", "EvidenceInvalid")
		}),
		first("proof-of-another-node", "made for another node", func(s *scene, m *machineObject, r *certificateRequest) {
			prove(r, func(c *claim) { c.node = "another" })
			r.hold("the evidence of the request is not to be believed", "EvidenceInvalid")
		}),
		first("proof-unreadable", "bytes that are no evidence, where some is needed", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "bootstrap: {evidence: bound}\n"
			r.pem = append(armour(r.pkcs10.der()), evidenceBlock([]byte("no evidence"))...)
			r.hold("the evidence of the request is not to be believed", "EvidenceInvalid", "EvidenceMissing")
		}),
	}
}

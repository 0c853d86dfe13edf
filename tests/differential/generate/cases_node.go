package main

// renewalCases are about nodes that renew their own client certificates.
func renewalCases() []*scene {
	return []*scene{
		known("renewal", "a node renews its certificate", func(s *scene, m *machineObject, r *certificateRequest) { s.live = true }),
		known("renewal-key-encipherment", "with the usages of old kubelets", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = append(r.usages, "key encipherment")
		}),
		known("renewal-rsa", "with an RSA key", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.key, r.pkcs10.algorithm = rsaKey(2048, "rsa2048"), rsaSHA256
		}),
		known("renewal-a-year-later", "no window applies to a node that is known", func(s *scene, m *machineObject, r *certificateRequest) {
			s.at, r.created = "2027-11-23T10:00:00Z", "2027-11-23T09:59:00Z"
		}),
		known("renewal-again-and-again", "renewals spend nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			for _, name := range []string{"one", "two", "three", "four"} {
				e := s.request(name, r.node).itself()
				e.created = "2026-11-23T10:07:00Z"
				e.decided("Approved", "Renewal", "2026-11-23T10:07:01Z")
			}
		}),
		known("renewal-without-addresses", "that the Machine has become the Node is enough", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = nil
		}),
		known("renewal-reference-in-capitals", "names of Machines compare without case and dot", func(s *scene, m *machineObject, r *certificateRequest) {
			m.nodeRef = "Renewal-Reference-In-Capitals."
		}),
		known("renewal-node-deleted", "its Node was deleted while it runs", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.nodes = nil
			r.hold("a node asks for itself only once it has registered", "NodeNotFound")
		}),
		known("renewal-machine-gone", "scaled down: no Machine knows it any more", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.machines = nil
			r.nobody().hold("and none owns the name by an address", "MachineNotFound")
		}),
		known("renewal-not-bound-yet", "right after it has registered", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.nodeRef, m.phase = "", "Provisioned"
			r.nobody().hold("renewal-not-bound-yet-m has no Node yet", "MachineNotBound")
		}),
		known("renewal-machine-is-another-node", "the Machine of its name has become another Node", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.nodeRef = "another"
			r.nobody().hold("renewal-machine-is-another-node-m is Node another", "MachineNotBound")
		}),
		known("renewal-two-machines", "two Machines have become one Node", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			n := s.machine("renewal-two-machines-n", "x")
			n.nodeRef = r.node
			r.nobody().hold("several Machines have become Node", "MachineAmbiguous")
		}),
		known("renewal-owner-of-the-name-too", "another Machine owns the name by an address: the one that has become the Node counts", func(s *scene, m *machineObject, r *certificateRequest) {
			s.machine("renewal-owner-of-the-name-too-n", r.node)
		}),
		known("renewal-machine-deleting", "its Machine is going away", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.deleted, m.phase = "2026-11-23T10:07:00Z", "Deleting"
			r.hold("is being deleted", "MachineDeleting")
		}),
		known("renewal-machine-failed", "its Machine has failed", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.phase = "Failed"
			r.hold("has failed for good (phase Failed)", "MachineFailed")
		}),
		known("renewal-superseded", "the newest request has the key that the kubelet still has", func(s *scene, m *machineObject, r *certificateRequest) {
			o := s.request("before", r.node).itself()
			o.hold("by the same node is newer", "Superseded")
		}),
		known("renewal-newer-one-is-wrong", "a newer one that is denied stands in nobody's way", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node).itself()
			n.created = "2026-11-23T10:09:00Z"
			n.usages = []string{"client auth"}
			n.deny("the usages are [client auth]", "UsagesNotAllowed")
		}),
		known("renewal-newer-one-by-a-bootstrapper", "nor does one of a machine that claims its name", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node)
			n.created = "2026-11-23T10:09:00Z"
			n.hold("a first certificate is for a new one", "NodeExists", "MachineBound")
		}),
		known("renewal-of-another-node", "a node asks for its neighbour's", func(s *scene, m *machineObject, r *certificateRequest) {
			s.registered("neighbour")
			s.machine("neighbour-m", "neighbour").nodeRef = "neighbour"
			r.by("system:node:neighbour", nodes)
			r.deny("\"system:node:neighbour\" asks for a certificate of node renewal-of-another-node", "RequestorNotSubject")
		}),
		known("renewal-usages", "with a usage more", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = append(r.usages, "server auth")
			r.deny("server auth", "UsagesNotAllowed")
		}),
		known("renewal-names", "with a name", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.attributes = sans(dns(r.node))
			r.deny("a client certificate may hold none", "NamesNotAllowed")
		}),
		known("renewal-into-another-group", "a node that wants to be an administrator", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization("system:masters"), commonName("system:node:"+r.node))
			r.deny("the organization is \"system:masters\"", "OrganizationNotNodes")
		}),
		known("renewal-by-a-user-in-capitals", "no node is called so", func(s *scene, m *machineObject, r *certificateRequest) {
			r.by("system:node:Renewal-By-A-User-In-Capitals", nodes)
			r.ignore("is no node and no bootstrapper", "RequestorNotAllowed")
		}),
		known("renewal-held", "wrong for ever, and held by the configuration", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "deny: []\n"
			r.by("system:node:neighbour", nodes)
			r.hold("a node may ask for itself only", "RequestorNotSubject")
		}),
		known("renewal-stale", "the watch of Machines is lost", func(s *scene, m *machineObject, r *certificateRequest) {
			s.lost = &lostFeed{"machines", "2026-11-23T10:00:00Z"}
			r.hold("nothing is approved until it is back", "FactsStale")
		}),
	}
}

// servingCases are about the names in serving certificates.
func servingCases() []*scene {
	fd := address("fd00:1::10")
	return []*scene{
		served("serving", "its name and its address", func(s *scene, m *machineObject, r *certificateRequest) { s.live = true }),
		served("serving-address-only", "a node without DNS", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.serving(address(s.ip(10)))
		}),
		served("serving-name-only", "the name alone", func(s *scene, m *machineObject, r *certificateRequest) { r.serving(dns(r.node)) }),
		served("serving-dual-stack", "an address of each family", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.addresses = append(m.addresses, [2]string{"InternalIP", "fd00:1::10"})
			r.serving(dns(r.node), address(s.ip(10)), fd)
		}),
		served("serving-ipv6-in-another-form", "addresses are parsed, never compared as text", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"InternalIP", "FD00:0001:0:0:0:0:0:10"})
			r.serving(fd)
		}),
		served("serving-mapped-address-in-the-machine", "the Machine writes an IPv4 address in IPv6 form", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"InternalIP", "::ffff:10.9.9.9"}}
			r.serving(ip(10, 9, 9, 9))
		}),
		served("serving-outside", "names and addresses that the outside uses", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"ExternalIP", "192.0.2.7"}, [2]string{"ExternalDNS", "ec2-192-0-2-7.example.com"})
			r.serving(dns(r.node), dns("ec2-192-0-2-7.example.com"), ip(192, 0, 2, 7))
		}),
		served("serving-two-names", "a short name and a long one, both in the Machine", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"InternalDNS", "long.example.com"})
			r.serving(dns(r.node), dns("long.example.com"))
		}),
		served("serving-in-capitals-and-with-a-dot", "requested DNS names compare without case and dot", func(s *scene, m *machineObject, r *certificateRequest) {
			r.serving(dns("SERVING-in-capitals-and-with-a-dot."))
		}),
		served("serving-address-as-host-name", "some clouds write the address as the host name too", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"Hostname", "10.9.8.7"}}
			r.serving(ip(10, 9, 8, 7))
		}),
		served("serving-some-of-many", "a node of four interfaces that serves on one", func(s *scene, m *machineObject, r *certificateRequest) {
			for _, more := range []string{"10.9.7.1", "10.9.7.2", "10.9.7.3"} {
				m.addresses = append(m.addresses, [2]string{"InternalIP", more})
			}
			r.serving(ip(10, 9, 7, 2))
		}),
		served("serving-rsa-key-encipherment", "an RSA key and the usages of old kubelets", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.pkcs10.key, r.pkcs10.algorithm = rsaKey(2048, "rsa2048"), rsaSHA256
			r.usages = []string{"key encipherment", "digital signature", "server auth"}
		}),
		served("serving-strange-address", "an address that the Machine does not have", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.serving(dns(r.node), ip(192, 0, 2, 99))
			r.hold("does not have [192.0.2.99]; its status.addresses are [", "NameNotOwned")
		}),
		served("serving-strange-name", "a name that the Machine does not have", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.serving(dns(r.node), dns("metrics.example.com"))
			r.hold("does not have [metrics.example.com]", "NameNotOwned")
		}),
		served("serving-what-the-node-says", "what the kubelet wrote into its Node counts for nothing", func(s *scene, m *machineObject, r *certificateRequest) {
			s.nodes[0].addresses = [][2]string{{"InternalIP", "192.0.2.98"}, {"Hostname", "elsewhere"}}
			r.serving(dns("elsewhere"), ip(192, 0, 2, 98))
			r.hold("does not have [192.0.2.98, elsewhere]", "NameNotOwned")
		}),
		served("serving-late-address", "the Machine's addresses have not come yet", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{}
			r.hold("its status.addresses are []", "NameNotOwned")
		}),
		served("serving-neighbours-address", "the address of another Machine", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.machine("serving-neighbour-m", "serving-neighbour")
			r.serving(dns(r.node), address(s.ip(11)))
			r.hold("(Machine openshift-machine-api/serving-neighbour-m)", "NameNotOwned")
		}),
		served("serving-shared-address", "an address that two Machines have: nobody can tell whose it is", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			s.machine("serving-sharer-m", "serving-sharer").addresses[0][1] = s.ip(10)
			r.hold("shares with others: ", "MachineAmbiguous")
		}),
		served("serving-shared-address-not-asked-for", "what nobody asks for may be shared", func(s *scene, m *machineObject, r *certificateRequest) {
			s.machine("sharer", "sharer").addresses[0][1] = s.ip(10)
			r.serving(dns(r.node))
		}),
		served("serving-many-strange-names", "of many names the message holds ten", func(s *scene, m *machineObject, r *certificateRequest) {
			var names [][]byte
			for i := range 12 {
				names = append(names, ip(192, 0, 2, byte(i+1)))
			}
			r.serving(names...).hold("192.0.2.10 and 2 more]", "NameNotOwned")
		}),
		served("serving-range", "an egress address that no record names, in the range of its pool", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving:\n  extraRanges:\n  - pool: workers\n    cidrs: [192.0.2.0/24, 2001:db8::/64]\n"
			r.serving(dns(r.node), ip(192, 0, 2, 5), address("2001:db8::5"))
		}),
		served("serving-range-end", "an address just behind the range", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving:\n  extraRanges:\n  - pool: workers\n    cidrs: [192.0.2.0/25]\n"
			r.serving(ip(192, 0, 2, 127), ip(192, 0, 2, 128)).hold("does not have [192.0.2.128]", "NameNotOwned")
		}),
		served("serving-range-of-another-pool", "the range of another pool", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving:\n  extraRanges:\n  - pool: gateways\n    cidrs: [192.0.2.0/24]\n"
			r.serving(ip(192, 0, 2, 5)).hold("does not have [192.0.2.5]", "NameNotOwned")
		}),
		served("serving-range-without-pool", "a Machine of no pool has no range", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving:\n  extraRanges:\n  - pool: workers\n    cidrs: [192.0.2.0/24]\n"
			m.pool = ""
			r.serving(ip(192, 0, 2, 5)).hold("does not have [192.0.2.5]", "NameNotOwned")
		}),
		served("serving-range-and-neighbour", "in the range, but another Machine's own address", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving:\n  extraRanges:\n  - pool: workers\n    cidrs: [192.0.2.0/24]\n"
			s.machine("neighbour", "neighbour").addresses[0][1] = "192.0.2.5"
			r.serving(ip(192, 0, 2, 5)).hold("192.0.2.5 (Machine openshift-machine-api/neighbour)", "NameNotOwned")
		}),
		served("serving-no-names", "no name at all", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.attributes = attributes()
			r.deny("a serving certificate needs one", "NamesMissing")
		}),
		served("serving-email-and-uri", "names of other kinds", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.serving(dns(r.node), email("root@example.com"), uri("spiffe://cluster.local/ns/a/sa/b"))
			r.deny("a serving certificate holds DNS names and IP addresses only", "NamesNotAllowed")
		}),
		served("serving-usages-of-a-client", "a serving certificate that could log in", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.usages = append(r.usages, "client auth")
			r.deny("kubernetes.io/kubelet-serving takes [digital signature, server auth]", "UsagesNotAllowed")
		}),
		served("serving-through-a-bootstrapper", "only a node may ask for a serving certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.by(bootstrapper).ignore("only a node asks for a serving certificate", "RequestorNotAllowed")
		}),
		served("serving-of-another-node", "a node asks for its neighbour's", func(s *scene, m *machineObject, r *certificateRequest) {
			r.by("system:node:neighbour", nodes).deny("a node may ask for itself only", "RequestorNotSubject")
		}),
		served("serving-not-bound", "the Machine has not become the Node yet", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			m.nodeRef = ""
			r.nobody().hold("has no Node yet", "MachineNotBound")
		}),
		served("serving-machine-deleting", "its Machine is going away", func(s *scene, m *machineObject, r *certificateRequest) {
			m.deleted = "2026-11-23T10:07:00Z"
			r.hold("is being deleted", "MachineDeleting")
		}),
		served("serving-node-deleted", "its Node was deleted", func(s *scene, m *machineObject, r *certificateRequest) {
			s.nodes = nil
			r.hold("there is no Node", "NodeNotFound")
		}),
		served("serving-superseded", "asked twice: the newest counts", func(s *scene, m *machineObject, r *certificateRequest) {
			s.request("before", r.node).itself().serving(dns(r.node)).hold("by the same node is newer", "Superseded")
		}),
		served("serving-newer-one-is-strange", "a newer one that waits for its names supersedes too: its key is the one the kubelet has", func(s *scene, m *machineObject, r *certificateRequest) {
			n := s.request("newer", r.node).itself().serving(ip(192, 0, 2, 99))
			n.created = "2026-11-23T10:09:00Z"
			n.hold("does not have [192.0.2.99]", "NameNotOwned")
			r.hold("request newer of 2026-11-23T10:09:00Z by the same node is newer", "Superseded")
		}),
		served("serving-left-to-others", "the configuration leaves serving certificates to others", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving: {enabled: false}\n"
			r.ignore("requests to kubernetes.io/kubelet-serving are left to others", "SignerNotServed")
		}),
	}
}

// reservedCases are names under which no node may serve, whatever its Machine says.
func reservedCases() []*scene {
	// reserve is a request for a DNS name that the Machine has, and that is reserved all the same.
	reserve := func(name, about, reserved string, change func(s *scene, m *machineObject, r *certificateRequest)) *scene {
		return served("reserved-"+name, about, func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = append(m.addresses, [2]string{"ExternalDNS", reserved})
			r.serving(dns(r.node), dns(reserved)).deny("no node may serve under ["+reserved+"]", "NameReserved")
			change(s, m, r)
		})
	}
	nothing := func(s *scene, m *machineObject, r *certificateRequest) {}
	live := func(s *scene, m *machineObject, r *certificateRequest) { s.live = true }
	at := func(name, about, reserved string, config string) *scene {
		return served("reserved-"+name, about, func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = config
			m.addresses = append(m.addresses, [2]string{"InternalIP", reserved})
			r.serving(dns(r.node), address(reserved)).deny("no node may serve under ["+reserved+"]", "NameReserved")
		})
	}
	api := "serving: {apiServers: [\"192.0.2.1\", \"2001:db8::1\", api.example.com]}\n"
	moves := func(name, about, reserved string) *scene {
		return served("reserved-"+name, about, func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = api
			m.addresses = append(m.addresses, [2]string{"InternalIP", reserved})
			r.serving(dns(r.node), address(reserved)).hold(reserved+" is what the API server is reached by", "NameShared")
		})
	}
	return []*scene{
		reserve("api-server", "the API server's name in every cluster", "kubernetes.default.svc", live),
		reserve("api-server-elsewhere", "a name that begins like the API server's", "kubernetes.example.com", nothing),
		reserve("cluster-domain", "the name of a Service", "registry.apps.svc.cluster.local", nothing),
		reserve("service", "the same, as pods shorten it", "registry.apps.svc", nothing),
		reserve("own-cluster-domain", "a cluster domain of one's own", "a.k8s.example.com", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = "serving: {clusterDomain: k8s.example.com}\n"
		}),
		reserve("localhost", "what every machine calls itself", "localhost", live),
		reserve("below-localhost", "and below it", "evil.localhost", nothing),
		reserve("api-server-by-name", "the API server's name outside", "api.example.com", func(s *scene, m *machineObject, r *certificateRequest) {
			s.config = api
			r.hold("api.example.com is what the API server is reached by", "NameShared")
		}),
		served("reserved-wildcard", "no Machine can have a wildcard", func(s *scene, m *machineObject, r *certificateRequest) {
			s.live = true
			r.serving(dns("*.example.com")).deny("no node may serve under [*.example.com]", "NameReserved", "NameNotOwned")
		}),
		served("reserved-in-capitals", "reserved names compare without case and dot", func(s *scene, m *machineObject, r *certificateRequest) {
			r.serving(dns("KUBERNETES.Default.")).deny("no node may serve under [KUBERNETES.Default.]", "NameReserved", "NameNotOwned")
		}),
		served("reserved-not-quite", "names that only look like reserved ones", func(s *scene, m *machineObject, r *certificateRequest) {
			names := []string{"mykubernetes.example.com", "localhost.example.com", "notcluster.local"}
			for _, name := range names {
				m.addresses = append(m.addresses, [2]string{"ExternalDNS", name})
			}
			r.serving(dns(names[0]), dns(names[1]), dns(names[2]))
		}),
		moves("api-server-address", "the API server's address, which may move", "192.0.2.1"),
		moves("api-server-address-v6", "and the other one", "2001:db8::1"),
		at("loopback", "every machine's own address", "127.0.0.1", ""),
		at("loopback-v6", "in the other family", "::1", ""),
		at("unspecified", "no address at all", "0.0.0.0", ""),
		at("multicast", "an address of many", "224.0.0.1", ""),
		served("reserved-address-as-name", "an address written as a DNS name", func(s *scene, m *machineObject, r *certificateRequest) {
			r.serving(dns("10.9.9.9")).hold("does not have [10.9.9.9]", "NameNotOwned")
		}),
		served("reserved-loopback-as-name", "the loopback address written as a DNS name", func(s *scene, m *machineObject, r *certificateRequest) {
			r.serving(dns("127.0.0.1")).deny("no node may serve under [127.0.0.1]", "NameReserved", "NameNotOwned")
		}),
		served("reserved-from-the-bootstrapper", "reserved or not: who is no node gets no verdict", func(s *scene, m *machineObject, r *certificateRequest) {
			r.serving(dns("kubernetes")).by(bootstrapper).ignore("only a node asks for a serving certificate", "RequestorNotAllowed")
		}),
	}
}

package main

import (
	"fmt"
	"strings"
)

// dumpCases are about the dump: what kubectl and people write, and what breaks.
func dumpCases() []*scene {
	replace := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				panic("the dump does not hold " + old)
			}
			return strings.Replace(text, old, new, 1)
		}
	}
	const version = "apiVersion: certificates.k8s.io/v1"
	// old makes the requests such as Kubernetes had before it knew of signers.
	old := func(text string) string {
		var lines []string
		for line := range strings.Lines(strings.ReplaceAll(text, version+"\n", version+"beta1\n")) {
			if !strings.HasPrefix(strings.TrimSpace(line), "signerName: ") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	return []*scene{
		first("dump-list", "one List, as one call of kubectl writes it", func(s *scene, m *machineObject, r *certificateRequest) { s.list = true }),
		first("dump-list-of-many", "a List that is read on every processor", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			for i := range 150 {
				s.machine(fmt.Sprintf("m-%d", i), fmt.Sprintf("w-%d", i))
			}
		}),
		first("dump-list-with-duplicates", "a Machine twice in one List: the later one counts", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			m.uid, m.nodeRef = "u", "elsewhere"
			again := s.machine(m.name, r.node)
			again.uid = "u"
			s.stderr = []string{"item 2: Machine dump-list-with-duplicates-m is there already (dump.yaml: document 1 (from line 1), item 1)"}
		}),
		first("dump-list-with-unknown-kinds", "Pods and Events among the items", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			s.text = replace("items:\n", "items:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Event\n  metadata: {name: b}\n")
			s.stderr = []string{"warning: documents of other kinds were passed over: 1 Event (v1), 1 Pod (v1)"}
		}),
		first("dump-list-with-a-broken-item", "an item without a name; the others are judged", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			s.text = replace("items:\n", "items:\n- apiVersion: v1\n  kind: Node\n  metadata: {}\n- 5\n")
			s.stderr = []string{"error: dump.yaml: document 1 (from line 1), item 1: Node (no name) cannot be read and is left out: metadata.name is missing", "1 no Kubernetes object"}
		}),
		first("dump-typed-list", "a MachineList, whose items do not say what they are", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = func(text string) string {
				kind := "apiVersion: machine.openshift.io/v1beta1\nkind: Machine\n"
				body, rest, _ := strings.Cut(strings.TrimPrefix(text, "---\n"), "---\n")
				lines := strings.Split(strings.TrimSuffix(strings.Replace(body, kind, "", 1), "\n"), "\n")
				return strings.Replace(kind, "Machine\n", "MachineList\n", 1) + "items:\n- " + strings.Join(lines, "\n  ") + "\n---\n" + rest
			}
		}),
		first("dump-windows-line-ends", "edited on another system", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
		}),
		first("dump-byte-order-mark", "saved by an editor that marks its files", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = func(text string) string { return "\ufeff" + text }
		}),
		first("dump-anchors-and-comments", "written by hand, with all that YAML has", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = func(text string) string {
				text = strings.ReplaceAll(text, "address: "+r.node, "address: *name")
				text = strings.Replace(text, "address: *name", "address: &name "+r.node+" # both", 1)
				return "# a dump\n%YAML 1.2\n" + text + "...\n---\n# nothing here\n---\n"
			}
		}),
		first("dump-folded-text", "a long message in a condition, folded as kubectl folds it", func(s *scene, m *machineObject, r *certificateRequest) {
			e := s.request("other", "other-node")
			e.decided("Approved", "AutoApproved", "2026-11-23T10:01:00Z")
			s.text = replace("message: decided before", "message: Auto approving kubelet client certificate\n      after SubjectAccessReview.")
		}),
		first("dump-tab", "a tab where YAML wants blanks; the other documents are judged", func(s *scene, m *machineObject, r *certificateRequest) {
			s.extra = []string{"apiVersion: v1\nkind: Node\nmetadata:\n\tname: a\n"}
			s.stderr = []string{"error: dump.yaml: document 3 (from line ", "this is not YAML: "}
		}),
		first("dump-unclosed-quote", "a quote without an end", func(s *scene, m *machineObject, r *certificateRequest) {
			s.extra = []string{"apiVersion: v1\nkind: Node\nmetadata:\n  name: \"a\n", "apiVersion: v1\nkind: Node\nmetadata: {name: b, uid: b, creationTimestamp: \"2026-11-23T10:00:00Z\"}\n"}
			s.stderr = []string{"error: dump.yaml: document 3 (from line ", "this is not YAML: "}
		}),
		first("dump-key-twice", "a field that is there twice: nobody can tell which one counts", func(s *scene, m *machineObject, r *certificateRequest) {
			s.extra = []string{"apiVersion: v1\nkind: Node\nkind: Pod\nmetadata: {name: a}\n"}
			s.stderr = []string{"document 3 (from line ", "this is not YAML: ", "duplicate"}
		}),
		first("dump-unknown-versions", "kinds that are known, in versions that are not", func(s *scene, m *machineObject, r *certificateRequest) {
			s.extra = []string{"apiVersion: machine.openshift.io/v1\nkind: Machine\nmetadata: {name: a}\n", "apiVersion: v2\nkind: Node\nmetadata: {name: a}\n"}
			s.stderr = []string{"1 Machine (machine.openshift.io/v1), 1 Node (v2)"}
		}),
		first("dump-v1beta1", "a request of OpenShift 3.11, which names no signer", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = old
		}),
		first("dump-v1beta1-with-a-signer", "a request of Kubernetes 1.18, which names its signer", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = replace(version, version+"beta1")
		}),
		first("dump-v1beta1-of-a-person", "what asks for no node's name is for no signer of nodes", func(s *scene, m *machineObject, r *certificateRequest) {
			r.pkcs10.subject = subject(organization("admins"), commonName("ada"))
			r.signer, r.node = "kubernetes.io/legacy-unknown", ""
			r.ignore("requests to kubernetes.io/legacy-unknown are left to others", "SignerNotServed")
			s.text = old
		}),
		first("dump-v1beta1-of-both-kinds", "what would be a client's and a server's certificate is for no signer of nodes", func(s *scene, m *machineObject, r *certificateRequest) {
			r.usages = append(r.usages, "server auth")
			r.signer = "kubernetes.io/legacy-unknown"
			r.ignore("requests to kubernetes.io/legacy-unknown are left to others", "SignerNotServed")
			s.text = old
		}),
		first("dump-v1beta1-thief", "what no Machine owns is held, in any version", func(s *scene, m *machineObject, r *certificateRequest) {
			m.addresses = [][2]string{{"InternalDNS", "another"}}
			r.nobody().hold("no Machine owns the node name dump-v1beta1-thief", "MachineNotFound")
			s.text = old
		}),
		known("dump-v1beta1-renewal", "a node of OpenShift 3.11 renews its certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = old
		}),
		served("dump-v1beta1-serving", "a node of OpenShift 3.11 asks for a serving certificate", func(s *scene, m *machineObject, r *certificateRequest) {
			s.text = old
		}),
		first("dump-wrong-types", "fields of wrong types; the other objects are judged", func(s *scene, m *machineObject, r *certificateRequest) {
			s.extra = []string{
				"apiVersion: machine.openshift.io/v1beta1\nkind: Machine\nmetadata: {name: a, namespace: openshift-machine-api, creationTimestamp: \"2026-11-23T10:00:00Z\"}\nstatus: {addresses: 5}\n",
				"apiVersion: v1\nkind: Node\nmetadata: {name: a, creationTimestamp: yesterday}\n",
				"apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: a, creationTimestamp: \"2026-11-23T10:00:00Z\"}\nspec: {usages: none}\n",
			}
			s.stderr = []string{
				"Machine a cannot be read and is left out: a field is not what its kind says",
				"Node a cannot be read and is left out: a field is not what its kind says",
				"CertificateSigningRequest a cannot be read and is left out: a field is not what its kind says",
			}
		}),
		first("dump-truncated", "the disk was full: the List ends in the middle of an item, before it says what it is", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			s.request("cut-off", "other").reasons = nil
			s.text = func(text string) string { return text[:strings.LastIndex(text, "  spec:\n")] + "  spec: {" }
			s.stderr = []string{"error: dump.yaml: document 1 (from line 1), item 3: this is not YAML: "}
		}),
		first("dump-list-with-broken-yaml", "an item that is no YAML; the others are judged", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			s.text = replace("items:\n", "items:\n- apiVersion: v1\n  kind: Node\n  metadata: {name: [a}\n")
			s.stderr = []string{"error: dump.yaml: document 1 (from line 1), item 1: this is not YAML: ", "at line 5,"}
		}),
		first("dump-broken-around-the-items", "what is wrong with the List itself is wrong with all of it", func(s *scene, m *machineObject, r *certificateRequest) {
			s.list = true
			r.reasons = nil
			s.text = replace("kind: List\n", "kind: [List\n")
			s.stderr = []string{"error: dump.yaml: document 1 (from line 1): this is not YAML: ", "error: dump.yaml: nothing in it can be read as a Kubernetes object"}
			s.exit = 64
		}),
		first("dump-without-requests", "only Machines: there is nothing to judge", func(s *scene, m *machineObject, r *certificateRequest) {
			s.requests = nil
			s.stderr = []string{"there is nothing to judge"}
			s.exit = 64
		}),
	}
}

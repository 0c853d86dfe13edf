package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// generator is how a generated case says where it comes from.
const generator = "tests/differential/generate"

// The times of the usual case: the Machine, the request, and when it is judged.
const (
	machineTime = "2026-11-23T10:00:00Z"
	requestTime = "2026-11-23T10:05:00Z"
	judgedTime  = "2026-11-23T10:10:00Z"
)

const (
	clientSigner  = "kubernetes.io/kube-apiserver-client-kubelet"
	servingSigner = "kubernetes.io/kubelet-serving"
	bootstrapper  = "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper"
	namespace     = "openshift-machine-api"
)

// scene is a case of tests/cases/explain in the making: objects, and what is expected of each request.
type scene struct {
	name, about string
	// config is the configuration, without its first two lines.
	config string
	at     string
	// live says that the end-to-end tests put it to the running approver.
	live     bool
	machines []*machineObject
	nodes    []*nodeObject
	requests []*certificateRequest
	// extra are further documents, as they stand in the dump.
	extra []string
	// list makes one List of all objects, as one call of kubectl does.
	list bool
	// text changes the dump as text, after everything else.
	text   func(string) string
	stderr []string
	exit   int
	// lost is a feed that the approver lost, and when.
	lost *lostFeed
	// files stand beside the dump; args name them.
	files map[string][]byte
	args  []string
}

// add puts a file beside the dump, and hands it to explain by a flag.
func (s *scene) add(name string, content []byte, flag string) {
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.files[name] = content
	s.args = append(s.args, flag, name)
}

type lostFeed struct {
	Feed string `json:"feed"`
	At   string `json:"at"`
}

type machineObject struct {
	name, namespace, uid, created   string
	phase, errorReason, nodeRef     string
	deleted, pool                   string
	addresses                       [][2]string
	withoutStatus, withoutNamespace bool
}

type nodeObject struct {
	name, created string
	addresses     [][2]string
}

type condition struct{ kind, reason, message, at string }

// answer is what is expected of one request; the keys are those of explain's JSON.
type answer struct {
	CSR       string            `json:"csr"`
	Signer    string            `json:"signer"`
	Requestor string            `json:"requestor"`
	Node      string            `json:"node"`
	Verdict   string            `json:"verdict"`
	Reason    string            `json:"reason"`
	Reasons   []string          `json:"reasons"`
	Message   string            `json:"message"`
	Machine   map[string]string `json:"machine"`
}

// certificateRequest is a CertificateSigningRequest, and the answer to it.
type certificateRequest struct {
	name, uid, created, signer, user string
	groups, usages                   []string
	conditions                       []condition
	pkcs10                           request
	// pem takes the place of what pkcs10 makes.
	pem []byte
	// node is the node that it asks for, as explain shows it.
	node string

	verdict, message string
	reasons          []string
	// judgedBy is the Machine of the answer; nothing for none.
	judgedBy *machineObject
}

// ip is an address of this case and no other: the live cases share one cluster.
func (s *scene) ip(host byte) string {
	sum := fnv.New32a()
	sum.Write([]byte(s.name))
	n := sum.Sum32()
	return fmt.Sprintf("10.%d.%d.%d", byte(n>>16), byte(n>>8), host)
}

// machine adds a Machine that owns the name of a node and waits for it.
func (s *scene) machine(name, owns string) *machineObject {
	m := &machineObject{
		name: name, namespace: namespace, created: machineTime, phase: "Provisioned", pool: "workers",
		addresses: [][2]string{
			{"InternalIP", s.ip(byte(10 + len(s.machines)))}, {"InternalDNS", owns}, {"Hostname", owns},
		},
	}
	s.machines = append(s.machines, m)
	return m
}

// registered adds a Node.
func (s *scene) registered(name string) *nodeObject {
	n := &nodeObject{name: name, created: "2026-11-23T10:06:00Z"}
	s.nodes = append(s.nodes, n)
	return n
}

// request adds what the kubelet of a node asks for first, with a key of its own.
func (s *scene) request(name, of string) *certificateRequest {
	r := &certificateRequest{
		name: name, created: requestTime, signer: clientSigner, user: bootstrapper,
		groups: []string{"system:serviceaccounts", "system:authenticated"},
		usages: []string{"digital signature", "client auth"},
		node:   of,
		pkcs10: with(func(r *request) {
			r.key = p256("case " + s.name + " " + name)
			r.subject = subject(organization(nodes), commonName("system:node:"+of))
		}),
	}
	if len(s.machines) > 0 {
		r.judgedBy = s.machines[0]
	}
	s.requests = append(s.requests, r)
	return r
}

// itself makes the node the requestor.
func (r *certificateRequest) itself() *certificateRequest { return r.by("system:node:"+r.node, nodes) }

func (r *certificateRequest) by(user string, groups ...string) *certificateRequest {
	r.user, r.groups = user, append(groups, "system:authenticated")
	return r
}

// serving makes it a request for a serving certificate with these names.
func (r *certificateRequest) serving(names ...[]byte) *certificateRequest {
	r.signer, r.usages = servingSigner, []string{"digital signature", "server auth"}
	r.pkcs10.attributes = sans(names...)
	return r
}

func (r *certificateRequest) expect(verdict, message string, reasons []string) *certificateRequest {
	r.verdict, r.message, r.reasons = verdict, message, reasons
	if verdict == "ignore" {
		r.judgedBy = nil
	}
	return r
}

func (r *certificateRequest) approve(reasons ...string) *certificateRequest {
	messages := map[string]string{
		"FirstCertificate":   "is expected and owns the node name",
		"Renewal":            "has become the Node that asks for itself",
		"ServingCertificate": "vouches for every requested name",
	}
	return r.expect("approve", messages[reasons[0]], reasons)
}

func (r *certificateRequest) hold(message string, reasons ...string) *certificateRequest {
	return r.expect("hold", message, reasons)
}

func (r *certificateRequest) deny(message string, reasons ...string) *certificateRequest {
	return r.expect("deny", message, reasons)
}

func (r *certificateRequest) ignore(message string, reasons ...string) *certificateRequest {
	return r.expect("ignore", message, reasons)
}

// decided says that somebody has decided before: Approved, Denied or Failed.
func (r *certificateRequest) decided(kind, reason, at string) *certificateRequest {
	r.conditions = append(r.conditions, condition{kind, reason, "decided before", at})
	return r.ignore("has been approved, denied or failed already", "AlreadyDecided")
}

// nobody says that no Machine is named in the answer; unreadable, that no node is.
func (r *certificateRequest) nobody() *certificateRequest { r.judgedBy = nil; return r }

func (r *certificateRequest) unreadable() *certificateRequest {
	r.judgedBy, r.node = nil, ""
	return r
}

func (r *certificateRequest) answer() answer {
	a := answer{
		CSR: r.name, Signer: r.signer, Requestor: r.user, Node: r.node,
		Verdict: r.verdict, Reason: r.reasons[0], Reasons: r.reasons, Message: r.message,
	}
	if r.judgedBy != nil {
		a.Machine = map[string]string{"namespace": r.judgedBy.namespace, "name": r.judgedBy.name}
	}
	return a
}

// first is a case of a machine that asks for its first certificate; change makes it what it is.
func first(name, about string, change func(s *scene, m *machineObject, r *certificateRequest)) *scene {
	s := &scene{name: name, about: about, at: judgedTime}
	m := s.machine(name+"-m", name)
	r := s.request(name, name).approve("FirstCertificate")
	change(s, m, r)
	return s
}

// known is a case of a node that asks for itself: its Machine has become it.
func known(name, about string, change func(s *scene, m *machineObject, r *certificateRequest)) *scene {
	s := &scene{name: name, about: about, at: judgedTime}
	m := s.machine(name+"-m", name)
	m.nodeRef, m.phase = name, "Running"
	s.registered(name)
	r := s.request(name, name).itself().approve("Renewal")
	r.created = "2026-11-23T10:08:00Z"
	change(s, m, r)
	return s
}

// served is a case of a node that asks for a serving certificate with its name and address.
func served(name, about string, change func(s *scene, m *machineObject, r *certificateRequest)) *scene {
	return known(name, about, func(s *scene, m *machineObject, r *certificateRequest) {
		r.serving(dns(name), address(s.ip(10))).approve("ServingCertificate")
		change(s, m, r)
	})
}

// writeCases writes every case into a folder of its own.
func writeCases(folder string) {
	scenes := slices.Concat(firstCases(), claimCases(), rivalCases(), proofCases(), profileCases(), malformedCases(), machineCases(),
		renewalCases(), resumeCases(), servingCases(), reservedCases(), dumpCases())
	seen := map[string]bool{}
	for _, s := range scenes {
		if seen[s.name] {
			log.Fatalf("two cases are called %s", s.name)
		}
		seen[s.name] = true
		s.write(filepath.Join(folder, s.name))
	}
	fmt.Printf("%d cases in %s\n", len(scenes), folder)
}

func (s *scene) write(folder string) {
	type file struct {
		About  string    `json:"about"`
		By     string    `json:"by"`
		From   []string  `json:"from"`
		At     string    `json:"at"`
		Live   bool      `json:"live,omitempty"`
		Lost   *lostFeed `json:"lost,omitempty"`
		Args   []string  `json:"args,omitempty"`
		Exit   int       `json:"exit"`
		Stderr []string  `json:"stderr"`
		Output []answer  `json:"output,omitempty"`
	}
	check(os.MkdirAll(folder, 0o755))
	f := file{
		About: s.about, By: generator, From: []string{"dump.yaml"}, At: s.at, Live: s.live, Lost: s.lost,
		Exit: s.exit, Stderr: append([]string{}, s.stderr...),
	}
	if s.config != "" {
		f.Args = []string{"--config", "config.yaml"}
		text := "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n" + s.config
		check(os.WriteFile(filepath.Join(folder, "config.yaml"), []byte(text), 0o644))
	}
	f.Args = append(f.Args, s.args...)
	for name, content := range s.files {
		check(os.WriteFile(filepath.Join(folder, name), content, 0o644))
	}
	for _, r := range s.requests {
		if r.reasons != nil {
			f.Output = append(f.Output, r.answer())
		}
	}
	text, err := json.MarshalIndent(f, "", "  ")
	check(err)
	check(os.WriteFile(filepath.Join(folder, "case.json"), append(text, '\n'), 0o644))
	check(os.WriteFile(filepath.Join(folder, "dump.yaml"), []byte(s.dump()), 0o644))
}

// dump is the objects as YAML: one document each, or one List.
func (s *scene) dump() string {
	var objects []object
	for i, m := range s.machines {
		objects = append(objects, m.object(s.uid("machine", i)))
	}
	for i, n := range s.nodes {
		objects = append(objects, n.object(s.uid("node", i)))
	}
	for i, r := range s.requests {
		objects = append(objects, r.object(s.uid("request", i)))
	}
	var text strings.Builder
	if s.list {
		items := []any{}
		for _, o := range objects {
			items = append(items, o)
		}
		writeYAML(&text, object{"apiVersion": "v1", "items": items, "kind": "List", "metadata": object{"resourceVersion": ""}}, 0)
	} else {
		for _, o := range objects {
			text.WriteString("---\n")
			writeYAML(&text, o, 0)
		}
	}
	for _, document := range s.extra {
		text.WriteString("---\n" + document)
	}
	if s.text != nil {
		return s.text(text.String())
	}
	return text.String()
}

// uid is the same each time the case is written.
func (s *scene) uid(kind string, index int) string {
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s/%s/%d", s.name, kind, index)
	n := sum.Sum64()
	return fmt.Sprintf("%08x-%04x-4%03x-8000-%012x", uint32(n>>32), uint16(n>>16), n&0xfff, n>>16)
}

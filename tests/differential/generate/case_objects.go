package main

import (
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// object is a part of a Kubernetes object.
type object map[string]any

// p256 is the key of a seed.
func p256(seed string) crypto.Signer { return ecKey(elliptic.P256(), seed) }

// address is an IP address among the requested names.
func address(text string) []byte { return ip(netip.MustParseAddr(text).AsSlice()...) }

func metadata(name, uid, created string) object {
	return object{"creationTimestamp": created, "name": name, "resourceVersion": "7", "uid": uid}
}

func (m *machineObject) object(uid string) object {
	if m.uid != "" {
		uid = m.uid
	}
	meta := metadata(m.name, uid, m.created)
	if !m.withoutNamespace {
		meta["namespace"] = m.namespace
	}
	if m.pool != "" {
		meta["labels"] = object{"machine.openshift.io/cluster-api-machineset": m.pool}
	}
	if m.deleted != "" {
		meta["deletionTimestamp"] = m.deleted
		meta["deletionGracePeriodSeconds"] = 0
		meta["finalizers"] = []any{"machine.machine.openshift.io"}
	}
	o := object{
		"apiVersion": "machine.openshift.io/v1beta1", "kind": "Machine", "metadata": meta,
		"spec": object{"providerID": "aws:///eu-west-1a/" + m.name, "providerSpec": object{}},
	}
	status := object{}
	if m.phase != "" {
		status["phase"] = m.phase
	}
	if m.errorReason != "" {
		status["errorReason"] = m.errorReason
	}
	if m.nodeRef != "" {
		status["nodeRef"] = object{"kind": "Node", "name": m.nodeRef}
	}
	if m.addresses != nil {
		status["addresses"] = typed(m.addresses)
	}
	if !m.withoutStatus {
		o["status"] = status
	}
	return o
}

func typed(addresses [][2]string) []any {
	list := []any{}
	for _, a := range addresses {
		list = append(list, object{"address": a[1], "type": a[0]})
	}
	return list
}

func (n *nodeObject) object(uid string) object {
	return object{
		"apiVersion": "v1", "kind": "Node", "metadata": metadata(n.name, uid, n.created),
		"status": object{"addresses": typed(n.addresses)},
	}
}

func (r *certificateRequest) object(uid string) object {
	if r.uid != "" {
		uid = r.uid
	}
	data := r.pem
	if data == nil {
		data = armour(r.pkcs10.der())
	}
	o := object{
		"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": metadata(r.name, uid, r.created),
		"spec": object{
			"groups": texts(r.groups), "request": base64.StdEncoding.EncodeToString(data), "signerName": r.signer,
			"usages": texts(r.usages), "username": r.user,
		},
	}
	status := object{}
	if r.conditions != nil {
		list := []any{}
		for _, c := range r.conditions {
			entry := object{"message": c.message, "reason": c.reason, "status": "True", "type": c.kind}
			if c.at != "" {
				entry["lastUpdateTime"] = c.at
				entry["lastTransitionTime"] = c.at
			}
			list = append(list, entry)
		}
		status["conditions"] = list
	}
	o["status"] = status
	return o
}

func texts(values []string) []any {
	list := []any{}
	for _, value := range values {
		list = append(list, value)
	}
	return list
}

var (
	plainText = regexp.MustCompile(`^([A-Za-z/_][A-Za-z0-9/_.:@+=-]*( [A-Za-z0-9][A-Za-z0-9,_.-]*)*|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$`)
	yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// writeYAML writes a value in the block style of kubectl.
func writeYAML(out *strings.Builder, value any, indent int) {
	pad := strings.Repeat(" ", indent)
	switch value := value.(type) {
	case object:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			fmt.Fprintf(out, "%s%s:", pad, key)
			writeBelow(out, value[key], indent)
		}
	case []any:
		for _, item := range value {
			var inner strings.Builder
			if _, deeper := item.(object); deeper {
				writeYAML(&inner, item, indent+2)
			} else {
				inner.WriteString("  " + scalarYAML(item) + "\n")
			}
			// The dash takes the place of the first line's indentation.
			out.WriteString(pad + "- " + strings.TrimLeft(inner.String(), " "))
		}
	}
}

func writeBelow(out *strings.Builder, value any, indent int) {
	switch value := value.(type) {
	case object:
		if len(value) == 0 {
			out.WriteString(" {}\n")
			return
		}
		out.WriteString("\n")
		writeYAML(out, value, indent+2)
	case []any:
		if len(value) == 0 {
			out.WriteString(" []\n")
			return
		}
		out.WriteString("\n")
		writeYAML(out, value, indent)
	default:
		out.WriteString(" " + scalarYAML(value) + "\n")
	}
}

func scalarYAML(value any) string {
	text, isText := value.(string)
	if isText && plainText.MatchString(text) && !strings.HasSuffix(text, ":") && !slices.Contains(yamlWords, strings.ToLower(text)) {
		return text
	}
	// JSON is YAML in quotes, too.
	quoted, err := json.Marshal(value)
	check(err)
	return string(quoted)
}

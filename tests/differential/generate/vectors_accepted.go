package main

import (
	"bytes"
	"crypto/elliptic"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
)

// acceptedVectors are the requests that must be taken: what kubelet, node-agent, OpenSSL and others make.
func acceptedVectors() []vector {
	serving := func(names ...[]byte) request {
		return with(func(r *request) { r.attributes = sans(names...) })
	}
	return []vector{
		accepted("client-p256", "the first request of a kubelet: P-256, no names", usual, content{}),
		accepted("client-p256-sha384", "P-256 with SHA-384", withKey(p256Key, ecdsaSHA384), content{}),
		accepted("client-p384", "P-384 with SHA-384", withKey(ecKey(elliptic.P384(), "p384"), ecdsaSHA384), content{}),
		accepted("client-p384-sha256", "P-384 with SHA-256", withKey(ecKey(elliptic.P384(), "p384"), ecdsaSHA256), content{}),
		accepted("client-ed25519", "Ed25519", withKey(ed25519Key("ed25519"), pureEd25519), content{}),
		accepted("client-rsa-2048", "RSA of the smallest size with SHA-256", withKey(rsaKey(2048, "rsa2048"), rsaSHA256), content{}),
		accepted("client-rsa-3072-sha384", "RSA with SHA-384", withKey(rsaKey(3072, "rsa3072"), rsaSHA384), content{}),
		accepted("client-rsa-4096-sha512", "RSA with SHA-512", withKey(rsaKey(4096, "rsa4096"), rsaSHA512), content{}),
		accepted("client-common-name-first", "CN before O", with(func(r *request) {
			r.subject = subject(commonName(worker), organization(nodes))
		}), content{}),
		accepted("client-utf8-strings", "both values as UTF8String, as OpenSSL writes them", with(func(r *request) {
			r.subject = subject(
				rdn(attribute(oidOrganization, tagUTF8String, nodes)),
				rdn(attribute(oidCommonName, tagUTF8String, "system:node:worker_0")))
		}), content{CommonName: "system:node:worker_0"}),
		accepted("client-other-group", "another organization: for the policy to judge, not for the parser", with(func(r *request) {
			r.subject = subject(organization("system:masters"), commonName("kubernetes-admin"))
		}), content{Organization: "system:masters", CommonName: "kubernetes-admin"}),
		accepted("client-empty-extension-request", "an extension request that asks for nothing", with(func(r *request) {
			r.attributes = attributes(extensionRequest())
		}), content{}),
		accepted("client-long-common-name", "a common name of 265 bytes, with lengths of two bytes", with(func(r *request) {
			r.subject = subject(organization(nodes), commonName("system:node:"+strings.Repeat("a", 253)))
		}), content{CommonName: "system:node:" + strings.Repeat("a", 253)}),
		accepted("serving-dns-and-ips", "the serving request of a kubelet",
			serving(dns("worker-0"), dns("worker-0.example.com"), ip(10, 0, 0, 1), ip(fd00()...)),
			content{DNS: []string{"worker-0", "worker-0.example.com"}, IPs: []string{"10.0.0.1", "fd00::1"}}),
		accepted("serving-ips-first", "names of several forms, mixed",
			serving(ip(10, 0, 0, 2), dns("b"), ip(10, 0, 0, 1), dns("a"), dns("a")),
			content{DNS: []string{"b", "a", "a"}, IPs: []string{"10.0.0.2", "10.0.0.1"}}),
		accepted("serving-critical", "a critical subjectAltName", with(func(r *request) {
			r.attributes = attributes(extensionRequest(tlv(tagSequence, oidSubjectAltName,
				tlv(tagBoolean, []byte{0xff}), tlv(tagOctetString, tlv(tagSequence, dns("worker-0"))))))
		}), content{DNS: []string{"worker-0"}}),
		accepted("serving-wildcard", "a wildcard: for the policy to judge", serving(dns("*.example.com")),
			content{DNS: []string{"*.example.com"}}),
		accepted("serving-upper-case-and-dot", "DNS names stay as they stand in the request", serving(dns("Worker-0.Example.COM.")),
			content{DNS: []string{"Worker-0.Example.COM."}}),
		accepted("serving-email-and-uri", "forms that are listed, for the policy to refuse",
			serving(email("root@example.com"), uri("spiffe://cluster.local/ns/kube-system/sa/x")),
			content{Emails: []string{"root@example.com"}, URIs: []string{"spiffe://cluster.local/ns/kube-system/sa/x"}}),
		accepted("serving-odd-addresses", "addresses that are legal but belong to no node",
			serving(ip(0, 0, 0, 0), ip(255, 255, 255, 255), ip(make([]byte, 16)...)),
			content{IPs: []string{"0.0.0.0", "255.255.255.255", "::"}}),
		manyNames(),
		{File: "client-crlf.pem", About: "lines that end with CR LF, and none at the end", Accepted: usualContent(),
			data: bytes.TrimSpace(bytes.ReplaceAll(armour(usual.der()), []byte("\n"), []byte("\r\n")))},
		{File: "client-white-space.pem", About: "blank lines around the block", Accepted: usualContent(),
			data: append(append([]byte(" \r\n\n"), armour(usual.der())...), "\n \t\n"...)},
		{File: "client-one-line.pem", About: "all base64 in one line", Accepted: usualContent(), data: oneLine()},
		{File: "client.der", About: "the first request of a kubelet without its armour", Accepted: usualContent(), data: usual.der()},
	}
}

// usualContent is what is in the usual request.
func usualContent() *content {
	return &content{Organization: nodes, CommonName: worker, KeyHash: usual.keyHash()}
}

func fd00() []byte {
	address := netip.MustParseAddr("fd00::1").As16()
	return address[:]
}

func manyNames() vector {
	var names [][]byte
	want := content{}
	for i := range 120 {
		name := fmt.Sprintf("worker-%d.example.com", i)
		names, want.DNS = append(names, dns(name)), append(want.DNS, name)
	}
	r := with(func(r *request) { r.attributes = sans(names...) })
	return accepted("serving-many-names", "120 names, with lengths of two bytes", r, want)
}

func oneLine() []byte {
	block := armour(usual.der())
	begin, end := []byte("-----BEGIN CERTIFICATE REQUEST-----\n"), []byte("-----END CERTIFICATE REQUEST-----\n")
	body := bytes.TrimSuffix(bytes.TrimPrefix(block, begin), end)
	text := bytes.Join([][]byte{begin, bytes.ReplaceAll(body, []byte("\n"), nil), []byte("\n"), end}, nil)
	if decoded, _ := pem.Decode(text); decoded == nil {
		panic("not a PEM block")
	}
	return text
}

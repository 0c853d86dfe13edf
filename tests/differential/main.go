// Says what Go sees in certification requests, and what the signer in kube-controller-manager would issue for them.
//
//	go run . ../cases/csr/*.pem            a line of JSON for each file
//	go run . < requests                    the same for each line, which is JSON: {"data": "<base64>", "pem": true}
//
// It reads a request as the API server and the signer do (Kubernetes: pkg/apis/certificates/v1/helpers.go, ParseCSR),
// verifies it, and fills a certificate as the signer does (pkg/controller/certificates/authority/authority.go).
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// input is a request to look at.
type input struct {
	Data []byte `json:"data"`
	PEM  bool   `json:"pem"`
}

// view is what Go makes of a request.
type view struct {
	File string `json:"file,omitempty"`
	// Error says why Go takes it no further.
	Error string `json:"error,omitempty"`
	// Seen is what is in the request, also where its signature is wrong.
	Seen *content `json:"seen,omitempty"`
	// Issued is what would be in the certificate; nothing after an error.
	Issued *content `json:"issued,omitempty"`
	// RequestName is the name that kubelet would give a request with this key and subject.
	RequestName string `json:"requestName,omitempty"`
}

// content is what is in a request or a certificate.
type content struct {
	// Organization holds all organizations, with commas between them.
	Organization string   `json:"organization"`
	CommonName   string   `json:"commonName"`
	OtherRDNs    []string `json:"otherRDNs"`
	DNS          []string `json:"dns"`
	Emails       []string `json:"emails"`
	IPs          []string `json:"ips"`
	URIs         []string `json:"uris"`
	KeyAlgorithm string   `json:"keyAlgorithm"`
	KeyHash      string   `json:"keyHash"`
}

// authority stands for the cluster's: what is issued does not depend on it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func main() {
	signer := newAuthority()
	out := json.NewEncoder(os.Stdout)
	if len(os.Args) > 1 {
		for _, file := range os.Args[1:] {
			data, err := os.ReadFile(file)
			check(err)
			seen := signer.look(input{Data: data, PEM: strings.HasSuffix(file, ".pem")})
			seen.File = file
			check(out.Encode(seen))
		}
		return
	}
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for in.More() {
		var next input
		check(in.Decode(&next))
		check(out.Encode(signer.look(next)))
	}
}

func newAuthority() authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kubernetes"},
		NotBefore:             time.Now(),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	return authority{certificate, key}
}

func (a authority) look(in input) (v view) {
	request, err := parse(in)
	if err != nil {
		return view{Error: "parse: " + err.Error()}
	}
	v.Seen = &content{
		DNS: list(request.DNSNames), Emails: list(request.EmailAddresses),
		IPs: addresses(request.IPAddresses), URIs: links(request.URIs),
		KeyAlgorithm: algorithm(request.PublicKeyAlgorithm, request.PublicKey), KeyHash: hash(request.RawSubjectPublicKeyInfo),
	}
	v.Seen.name(request.Subject)
	if err := request.CheckSignature(); err != nil {
		v.Error = "signature: " + err.Error()
		return v
	}
	certificate, err := a.issue(request)
	if err != nil {
		v.Error = "issue: " + err.Error()
		return v
	}
	v.Issued = &content{
		DNS: list(certificate.DNSNames), Emails: list(certificate.EmailAddresses),
		IPs: addresses(certificate.IPAddresses), URIs: links(certificate.URIs),
		KeyAlgorithm: algorithm(certificate.PublicKeyAlgorithm, certificate.PublicKey), KeyHash: hash(certificate.RawSubjectPublicKeyInfo),
	}
	v.Issued.name(certificate.Subject)
	v.RequestName, err = requestName(request)
	check(err)
	return v
}

func parse(in input) (*x509.CertificateRequest, error) {
	if !in.PEM {
		return x509.ParseCertificateRequest(in.Data)
	}
	block, _ := pem.Decode(in.Data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no PEM block CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// issue fills a certificate with what the signer takes from the request and reads it back.
func (a authority) issue(request *x509.CertificateRequest) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(2),
		Subject:               request.Subject,
		DNSNames:              request.DNSNames,
		IPAddresses:           request.IPAddresses,
		EmailAddresses:        request.EmailAddresses,
		URIs:                  request.URIs,
		PublicKeyAlgorithm:    request.PublicKeyAlgorithm,
		PublicKey:             request.PublicKey,
		NotBefore:             a.certificate.NotBefore,
		NotAfter:              a.certificate.NotAfter,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, request.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// requestName is the name that kubelet gives its first request (Kubernetes: pkg/kubelet/certificate/bootstrap,
// digestedName), for the usages that it asks for with an elliptic curve key.
func requestName(request *x509.CertificateRequest) (string, error) {
	key, err := x509.MarshalPKIXPublicKey(request.PublicKey)
	if err != nil {
		return "", err
	}
	fields := []string{string(key), request.Subject.CommonName}
	fields = append(fields, request.Subject.Organization...)
	fields = append(fields, "digital signature", "client auth")
	var text strings.Builder
	for _, field := range fields {
		text.WriteString(base64.RawURLEncoding.EncodeToString([]byte(field)) + "|")
	}
	digest := sha512.Sum512_256([]byte(text.String()))
	return "node-csr-" + base64.RawURLEncoding.EncodeToString(digest[:]), nil
}

// name fills in the subject; an attribute that is neither O nor CN is told by its type and value.
func (c *content) name(subject pkix.Name) {
	c.Organization = strings.Join(subject.Organization, ",")
	c.CommonName = subject.CommonName
	c.OtherRDNs = []string{}
	for _, attribute := range subject.Names {
		if kind := attribute.Type.String(); kind != "2.5.4.3" && kind != "2.5.4.10" {
			c.OtherRDNs = append(c.OtherRDNs, fmt.Sprintf("%s=%v", kind, attribute.Value))
		}
	}
}

// list is never null in JSON.
func list(names []string) []string { return append([]string{}, names...) }

func addresses(ips []net.IP) []string {
	texts := []string{}
	for _, ip := range ips {
		texts = append(texts, ip.String())
	}
	return texts
}

func links(uris []*url.URL) []string {
	texts := []string{}
	for _, uri := range uris {
		texts = append(texts, uri.String())
	}
	return texts
}

func algorithm(kind x509.PublicKeyAlgorithm, key any) string {
	if key, ok := key.(*ecdsa.PublicKey); ok {
		return kind.String() + " " + key.Curve.Params().Name
	}
	return kind.String()
}

func hash(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

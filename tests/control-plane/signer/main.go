// Says what Kubernetes' own signer for kubelets makes of certification requests: whether it takes them, and what is in
// the certificate. It calls what kube-controller-manager calls (pkg/controller/certificates/signer/signer.go): the
// validation of pkg/apis/certificates and the authority that signs.
//
//	go run ./signer < requests    a line of JSON for each line {"request": "<base64>", "signerName": "...", "usages": [...]}
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"os"
	"strings"
	"time"

	capi "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/pkg/apis/certificates"
	"k8s.io/kubernetes/pkg/controller/certificates/authority"
)

// input is the part of a CertificateSigningRequest's spec that the signer looks at.
type input struct {
	Request    []byte          `json:"request"`
	SignerName string          `json:"signerName"`
	Usages     []capi.KeyUsage `json:"usages"`
}

// view is what the signer makes of it.
type view struct {
	// Error says why it signs nothing.
	Error string `json:"error,omitempty"`
	// Issued is what is in the certificate.
	Issued *content `json:"issued,omitempty"`
}

// content is what is in a certificate; its fields are those of tests/differential.
type content struct {
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

func main() {
	ca := newAuthority()
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for in.More() {
		var next input
		check(in.Decode(&next))
		issued, err := sign(ca, next)
		if err != nil {
			check(out.Encode(view{Error: err.Error()}))
			continue
		}
		check(out.Encode(view{Issued: issued}))
	}
}

func newAuthority() *authority.CertificateAuthority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kubernetes"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	return &authority.CertificateAuthority{Certificate: certificate, PrivateKey: key}
}

// sign does what the signing controller does with an approved request, and reads the certificate.
func sign(ca *authority.CertificateAuthority, in input) (*content, error) {
	request, err := certificates.ParseCSR(in.Request)
	if err != nil {
		return nil, err
	}
	usages := sets.NewString()
	for _, usage := range in.Usages {
		usages.Insert(string(usage))
	}
	switch in.SignerName {
	case capi.KubeAPIServerClientKubeletSignerName:
		err = certificates.ValidateKubeletClientCSR(request, usages)
	case capi.KubeletServingSignerName:
		err = certificates.ValidateKubeletServingCSR(request, usages)
	default:
		err = fmt.Errorf("no kubelet's signer: %s", in.SignerName)
	}
	if err != nil {
		return nil, err
	}
	der, err := ca.Sign(request.Raw, authority.PermissiveSigningPolicy{TTL: time.Hour, Usages: in.Usages})
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return read(certificate), nil
}

func read(certificate *x509.Certificate) *content {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	algorithm := certificate.PublicKeyAlgorithm.String()
	if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
		algorithm += " " + key.Curve.Params().Name
	}
	c := &content{
		Organization: strings.Join(certificate.Subject.Organization, ","),
		CommonName:   certificate.Subject.CommonName,
		OtherRDNs:    []string{},
		DNS:          append([]string{}, certificate.DNSNames...),
		Emails:       append([]string{}, certificate.EmailAddresses...),
		IPs:          []string{},
		URIs:         []string{},
		KeyAlgorithm: algorithm,
		KeyHash:      "sha256:" + hex.EncodeToString(sum[:]),
	}
	for _, ip := range certificate.IPAddresses {
		c.IPs = append(c.IPs, ip.String())
	}
	for _, uri := range certificate.URIs {
		c.URIs = append(c.URIs, uri.String())
	}
	for _, attribute := range certificate.Subject.Names {
		if kind := attribute.Type.String(); kind != "2.5.4.3" && kind != "2.5.4.10" {
			c.OtherRDNs = append(c.OtherRDNs, fmt.Sprintf("%s=%v", kind, attribute.Value))
		}
	}
	return c
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

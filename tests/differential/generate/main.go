// Writes the vectors of tests/cases/csr: requests that the parser must take or refuse, and expected.json, which says
// which and why. Most of the refused ones cannot be made with any library, so they are put together byte by byte. Writes
// also the cases of tests/cases/explain that nobody wrote by hand: requests with the facts around them, and the decision.
//
//	go run ./generate ../cases/csr
//	go run ./generate -cases ../cases/explain
//
// The output is always the same and is checked in; tests of the end-to-end crate compare the two.
package main

import (
	"crypto"
	"crypto/elliptic"
	_ "crypto/sha1"
	"crypto/sha256"
	_ "crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// vector is one file and what is expected of it.
type vector struct {
	// File is its name in the folder.
	File string `json:"file"`
	// About says what is special about it.
	About string `json:"about"`
	// Refused is the word with which it is refused.
	Refused string `json:"refused,omitempty"`
	// Accepted is what is in a request that is taken.
	Accepted *content `json:"accepted,omitempty"`
	// GoSees is what Go takes out of a request that is refused. Such a vector is a trap: an approver that sees
	// something else, or nothing, signs off what it does not know.
	GoSees *content `json:"goSees,omitempty"`

	data []byte
}

// content is what is in a request. A request that is taken fills all of it; of a trap only what is listed is compared.
type content struct {
	Organization string   `json:"organization,omitempty"`
	CommonName   string   `json:"commonName,omitempty"`
	OtherRDNs    []string `json:"otherRDNs,omitempty"`
	DNS          []string `json:"dns,omitempty"`
	Emails       []string `json:"emails,omitempty"`
	IPs          []string `json:"ips,omitempty"`
	URIs         []string `json:"uris,omitempty"`
	KeyHash      string   `json:"keyHash,omitempty"`
	// Evidence is what is read behind the request, EvidenceError the word with which it is refused.
	Evidence      []proof `json:"evidence,omitempty"`
	EvidenceError string  `json:"evidenceError,omitempty"`
}

// request is a certification request as its parts; all but a few parts of each vector are the usual ones.
type request struct {
	key        crypto.Signer
	algorithm  algorithm
	version    []byte
	subject    []byte
	spki       []byte
	attributes []byte
	// extra follows the parts above inside the signed information.
	extra []byte
}

const (
	nodes  = "system:nodes"
	worker = "system:node:worker-0"
)

var (
	p256Key = ecKey(elliptic.P256(), "p256")
	// usual is what kubelet asks for with its first request.
	usual = request{
		key:        p256Key,
		algorithm:  ecdsaSHA256,
		version:    tlv(tagInteger, []byte{0}),
		subject:    subject(organization(nodes), commonName(worker)),
		attributes: attributes(),
	}
)

// with is the usual request after a change.
func with(change func(*request)) request {
	changed := usual
	change(&changed)
	return changed
}

// withKey is the usual request with another key.
func withKey(key crypto.Signer, with algorithm) request {
	changed := usual
	changed.key, changed.algorithm = key, with
	return changed
}

func (r request) info() []byte {
	key := r.spki
	if key == nil {
		key = spki(r.key)
	}
	return tlv(tagSequence, r.version, r.subject, key, r.attributes, r.extra)
}

func (r request) signature() []byte { return sign(r.key, r.algorithm, r.info()) }

func (r request) der() []byte {
	return tlv(tagSequence, r.info(), r.algorithm.identifier, bits(r.signature()))
}

func (r request) keyHash() string {
	sum := sha256.Sum256(spki(r.key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func bits(contents []byte) []byte { return tlv(tagBitString, []byte{0}, contents) }

func armour(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// accepted is a request that is taken; want lists its names only, the rest is filled in.
func accepted(name, about string, r request, want content) vector {
	if want.Organization == "" {
		want.Organization = nodes
	}
	if want.CommonName == "" {
		want.CommonName = worker
	}
	want.KeyHash = r.keyHash()
	return vector{File: name + ".pem", About: about, Accepted: &want, data: armour(r.der())}
}

func refused(word, name, about string, r request) vector {
	return vector{File: name + ".pem", About: about, Refused: word, data: armour(r.der())}
}

func refusedDER(word, name, about string, der []byte) vector {
	return vector{File: name + ".der", About: about, Refused: word, data: der}
}

func refusedText(word, name, about string, text []byte) vector {
	return vector{File: name + ".pem", About: about, Refused: word, data: text}
}

// trap is a request that is refused because Go sees this in it.
func trap(word, name, about string, r request, sees content) vector {
	v := refused(word, name, about, r)
	v.GoSees = &sees
	return v
}

// existing is a vector of the folder that was not made here.
func existing(name string) []byte {
	data, err := os.ReadFile(filepath.Join(os.Args[1], name))
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-cases" {
		writeCases(os.Args[2])
		return
	}
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ./generate [-cases] FOLDER")
	}
	folder := os.Args[1]

	vectors := slices.Concat(acceptedVectors(), evidenceVectors(), armourVectors(), derVectors(), subjectVectors(), nameVectors(), keyVectors())
	slices.SortFunc(vectors, func(a, b vector) int { return strings.Compare(a.File, b.File) })
	for i, v := range vectors {
		if i > 0 && vectors[i-1].File == v.File {
			log.Fatalf("two vectors are called %s", v.File)
		}
		check(os.WriteFile(filepath.Join(folder, v.File), v.data, 0o644))
	}
	expected, err := json.MarshalIndent(vectors, "", "  ")
	check(err)
	check(os.WriteFile(filepath.Join(folder, "expected.json"), append(expected, '\n'), 0o644))
	fmt.Printf("%d vectors in %s\n", len(vectors), folder)
}

package main

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"slices"
)

// Evidence as docs/evidence.md specifies it, with nothing of the Rust crate in it.

// proof is one statement that is read out of evidence.
type proof struct {
	Kind    string `json:"kind"`
	Cluster string `json:"cluster"`
	// Key is the hash of the key that the statement shows; nothing for kinds that are not known.
	Key string `json:"key,omitempty"`
	// Worthless is the word with which the statement is not believed for this request; nothing if it is.
	Worthless string `json:"worthless,omitempty"`
}

const (
	evidenceLabel       = "ROLLCALL EVIDENCE"
	joinKey             = "join-key"
	previousCertificate = "previous-certificate"
)

// cluster and otherCluster are the identifiers of two clusters: hashes of texts that stand for CA certificates.
var cluster, otherCluster = sum([]byte("a CA certificate")), sum([]byte("another CA certificate"))

func sum(data []byte) []byte {
	hash := sha256.Sum256(data)
	return hash[:]
}

func hashText(hash []byte) string { return "sha256:" + hex.EncodeToString(hash) }

func utf8(text string) []byte   { return tlv(tagUTF8String, []byte(text)) }
func octets(data []byte) []byte { return tlv(tagOctetString, data) }

// claim is a statement before it is signed; all but one field of most vectors are the usual ones.
type claim struct {
	kind      string
	key       crypto.Signer
	algorithm algorithm
	// shown is the certificate, or else the key.
	shown []byte
	// request, node and cluster are what it is bound to.
	request []byte
	node    string
	cluster []byte
}

// by is a join-key claim for the usual request.
func by(key crypto.Signer, with algorithm) claim {
	return claim{kind: joinKey, key: key, algorithm: with, shown: spki(key), request: spki(usual.key), node: "worker-0", cluster: cluster}
}

// but is a claim after a change.
func (c claim) but(change func(*claim)) claim { change(&c); return c }

func (c claim) signature() []byte {
	return sign(c.key, c.algorithm, tlv(tagSequence, utf8("rollcall.dev/evidence/v1"), utf8(c.kind),
		octets(sum(c.request)), utf8(c.node), octets(c.cluster), octets(sum(c.shown))))
}

func (c claim) statement() []byte {
	return statement(c.kind, c.cluster, tlv(tagSequence, c.shown, octets(c.signature())))
}

func (c claim) proof(worthless string) proof {
	return proof{Kind: c.kind, Cluster: hashText(c.cluster), Key: hashText(sum(spki(c.key))), Worthless: worthless}
}

func statement(kind string, cluster, body []byte) []byte {
	return tlv(tagSequence, utf8(kind), octets(cluster), octets(body))
}

// evidence is a list of statements in version 1.
func evidence(statements ...[]byte) []byte { return versioned([]byte{1}, statements...) }

func versioned(version []byte, statements ...[]byte) []byte {
	return tlv(tagSequence, tlv(tagInteger, version), tlv(tagSequence, statements...))
}

func evidenceBlock(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: evidenceLabel, Bytes: der})
}

// certificate is an expired client certificate of worker-0 with this key; ecKey("authority") signed it.
func certificate(version []byte, serial byte, key []byte) []byte {
	time := func(text string) []byte { return tlv(asn1.TagUTCTime, []byte(text)) }
	fields := slices.Concat(version, tlv(tagInteger, []byte{serial}), ecdsaSHA256.identifier, subject(commonName("kubernetes")),
		tlv(tagSequence, time("240101000000Z"), time("250101000000Z")), usual.subject, key)
	tbs := tlv(tagSequence, fields)
	return tlv(tagSequence, tbs, ecdsaSHA256.identifier, bits(sign(authority, ecdsaSHA256, tbs)))
}

// previous is a claim about a certificate of a key.
func previous(key crypto.Signer, with algorithm) claim {
	return by(key, with).but(func(c *claim) {
		c.kind, c.shown = previousCertificate, certificate(version3, 1, spki(key))
	})
}

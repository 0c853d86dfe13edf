package main

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"slices"
)

var (
	authority = ecKey(elliptic.P256(), "authority")
	machine   = ecKey(elliptic.P256(), "machine")
	version3  = tlv(0xa0, tlv(tagInteger, []byte{2}))
)

// evidenceVectors are requests with something behind them. The request itself is always the usual one.
func evidenceVectors() []vector {
	return slices.Concat(goodEvidence(), worthlessEvidence(), badEvidence(), badStatements(), refusedEvidence())
}

// withEvidence is the usual request with these blocks behind it.
func withEvidence(name, about string, blocks []byte, want content) vector {
	v := accepted(name, about, usual, want)
	v.data = append(v.data, blocks...)
	return v
}

func proven(name, about string, blocks []byte, proofs ...proof) vector {
	return withEvidence(name, about, blocks, content{Evidence: proofs})
}

func unreadable(word, name, about string, blocks []byte) vector {
	return withEvidence(name, about, blocks, content{EvidenceError: word})
}

// goodEvidence proves something.
func goodEvidence() []vector {
	simple := func(name, about string, c claim) vector {
		return proven(name, about, evidenceBlock(evidence(c.statement())), c.proof(""))
	}
	usualClaim := by(machine, ecdsaSHA256)
	certificateClaim := previous(machine, ecdsaSHA256)
	both := evidence(certificateClaim.statement(), usualClaim.statement())
	one, two := evidenceBlock(evidence(certificateClaim.statement())), evidenceBlock(evidence(usualClaim.statement()))
	other := proof{Kind: "example.com/quote", Cluster: hashText(cluster)}
	return []vector{
		simple("pem-evidence", "a block of evidence after the request", usualClaim),
		simple("evidence-p384", "a join key on P-384", by(ecKey(elliptic.P384(), "p384"), ecdsaSHA384)),
		simple("evidence-ed25519", "an Ed25519 join key", by(ed25519Key("ed25519"), pureEd25519)),
		simple("evidence-rsa", "an RSA join key", by(rsaKey(2048, "rsa2048"), rsaSHA256)),
		simple("evidence-certificate", "an expired certificate", certificateClaim),
		simple("evidence-certificate-ed25519", "a certificate of an Ed25519 key", previous(ed25519Key("ed25519"), pureEd25519)),
		simple("evidence-certificate-rsa", "a certificate of an RSA key", previous(rsaKey(2048, "rsa2048"), rsaSHA256)),
		proven("evidence-two-statements", "both kinds in one block", evidenceBlock(both), certificateClaim.proof(""), usualClaim.proof("")),
		proven("evidence-two-blocks", "both kinds in a block each", slices.Concat(one, two), certificateClaim.proof(""), usualClaim.proof("")),
		proven("evidence-white-space", "lines with CR LF, blank lines around the block, none at the end",
			bytes.TrimRight(bytes.ReplaceAll(slices.Concat([]byte(" \n\n"), two), []byte("\n"), []byte("\r\n")), "\r\n"), usualClaim.proof("")),
		proven("evidence-unknown-kind", "a kind that is not known here, beside one that is",
			evidenceBlock(evidence(statement(other.Kind, cluster, []byte("any bytes")), usualClaim.statement())), other, usualClaim.proof("")),
		proven("evidence-eight-statements", "as many statements as there may be",
			evidenceBlock(evidence(slices.Repeat([][]byte{statement("x", cluster, nil)}, 8)...)),
			slices.Repeat([]proof{{Kind: "x", Cluster: hashText(cluster)}}, 8)...),
	}
}

// worthlessEvidence can be read but proves nothing for this request.
func worthlessEvidence() []vector {
	worthless := func(word, name, about string, c claim, shows ...[]byte) vector {
		signed := c.statement()
		if len(shows) == 1 {
			signed = statement(c.kind, c.cluster, tlv(tagSequence, shows[0], octets(c.signature())))
		}
		return proven(name, about, evidenceBlock(evidence(signed)), c.proof(word))
	}
	usualClaim, certificateClaim := by(machine, ecdsaSHA256), previous(machine, ecdsaSHA256)
	asJoinKey := certificateClaim.but(func(c *claim) { c.kind = joinKey })
	broken := usualClaim.signature()
	broken[len(broken)-1] ^= 1
	return []vector{
		worthless("BadSignature", "evidence-another-request", "a statement taken from a request with another key",
			usualClaim.but(func(c *claim) { c.request = spki(machine) })),
		worthless("BadSignature", "evidence-another-node", "a statement for another node",
			usualClaim.but(func(c *claim) { c.node = "worker-1" })),
		worthless("AnotherCluster", "evidence-another-cluster", "a statement for another cluster",
			usualClaim.but(func(c *claim) { c.cluster = otherCluster })),
		worthless("BadSignature", "evidence-sha384-with-p256", "a signature with another hash than the key's own",
			by(machine, ecdsaSHA384)),
		worthless("BadSignature", "evidence-rsa-sha512", "RSA with another hash than SHA-256", by(rsaKey(2048, "rsa2048"), rsaSHA512)),
		worthless("BadSignature", "evidence-certificate-exchanged", "another certificate of the same key than was signed for",
			certificateClaim, certificate(version3, 2, spki(machine))),
		proven("evidence-kind-exchanged", "a signature that was made for another kind",
			evidenceBlock(evidence(statement(previousCertificate, cluster, tlv(tagSequence, asJoinKey.shown, octets(asJoinKey.signature()))))),
			certificateClaim.proof("BadSignature")),
		proven("evidence-cluster-exchanged", "a statement for another cluster that says it is for this one",
			evidenceBlock(evidence(statement(joinKey, cluster, tlv(tagSequence, usualClaim.shown,
				octets(usualClaim.but(func(c *claim) { c.cluster = otherCluster }).signature()))))), usualClaim.proof("BadSignature")),
		proven("evidence-signature-broken", "the last bit of the signature is another",
			evidenceBlock(evidence(statement(joinKey, cluster, tlv(tagSequence, usualClaim.shown, octets(broken))))), usualClaim.proof("BadSignature")),
		proven("evidence-signature-empty", "no signature",
			evidenceBlock(evidence(statement(joinKey, cluster, tlv(tagSequence, usualClaim.shown, octets(nil))))), usualClaim.proof("BadSignature")),
	}
}

// badEvidence cannot be read because of the block or the list in it. The request stays good.
func badEvidence() []vector {
	good := evidence(by(machine, ecdsaSHA256).statement())
	block := evidenceBlock(good)
	begin := []byte("-----BEGIN ROLLCALL EVIDENCE-----\n")
	insert := func(text string) []byte { return bytes.Replace(block, begin, append(slices.Clone(begin), text...), 1) }
	many := func(n int) []byte {
		return evidence(slices.Repeat([][]byte{statement("x", cluster, nil)}, n)...)
	}
	return []vector{
		unreadable("MalformedPem", "evidence-not-base64", "a block that is not base64", insert("!\n")),
		unreadable("MalformedPem", "evidence-blank-line", "a blank line in the block", insert("\n")),
		unreadable("PemHeaders", "evidence-headers", "headers in the block", insert("Node: worker-0\n\n")),
		unreadable("MalformedDer", "evidence-no-content", "a block without content", evidenceBlock(nil)),
		unreadable("MalformedDer", "evidence-not-der", "a block of zeros", evidenceBlock(make([]byte, 3))),
		unreadable("MalformedDer", "evidence-truncated", "half a list", evidenceBlock(good[:len(good)/2])),
		unreadable("MalformedDer", "evidence-padded-length", "a length in more bytes than needed (BER)", evidenceBlock(paddedTLV(tagSequence, good))),
		unreadable("TrailingDer", "evidence-trailing-byte", "a byte after the list", evidenceBlock(append(slices.Clone(good), 0))),
		unreadable("TrailingDer", "evidence-trailing-field", "a field after the statements",
			evidenceBlock(tlv(tagSequence, tlv(tagInteger, []byte{1}), tlv(tagSequence, by(machine, ecdsaSHA256).statement()), null))),
		unreadable("UnsupportedVersion", "evidence-version-2", "a later version, whose content nobody knows", evidenceBlock(tlv(tagSequence, tlv(tagInteger, []byte{2}), null))),
		unreadable("UnsupportedVersion", "evidence-version-padded", "version 1 in two bytes",
			evidenceBlock(versioned([]byte{0, 1}, by(machine, ecdsaSHA256).statement()))),
		unreadable("NoStatements", "evidence-no-statements", "an empty list", evidenceBlock(evidence())),
		unreadable("TooManyStatements", "evidence-nine-statements", "one statement too many", evidenceBlock(many(9))),
		unreadable("TooManyStatements", "evidence-nine-statements-in-two-blocks", "one statement too many in all",
			slices.Concat(evidenceBlock(many(8)), evidenceBlock(many(1)))),
		unreadable("MalformedDer", "evidence-bad-block-after-good", "a good block and a bad one", slices.Concat(block, evidenceBlock(null))),
	}
}

// badStatements make the whole evidence unreadable. The request stays good.
func badStatements() []vector {
	usualClaim := by(machine, ecdsaSHA256)
	signed := func(kind string, shown []byte) []byte {
		return evidenceBlock(evidence(statement(kind, cluster, tlv(tagSequence, shown, octets(usualClaim.signature())))))
	}
	named := func(kind string) []byte { return evidenceBlock(evidence(statement(kind, cluster, nil))) }
	compressed := tlv(tagSequence, tlv(tagSequence, oid(1, 2, 840, 10045, 2, 1), oid(1, 2, 840, 10045, 3, 1, 7)),
		bits(elliptic.MarshalCompressed(elliptic.P256(), machine.X, machine.Y)))
	trailing := tlv(tagSequence, utf8(joinKey), octets(cluster), octets(nil), null)
	return []vector{
		unreadable("MalformedKind", "evidence-kind-upper-case", "a kind in upper case", named("Join-Key")),
		unreadable("MalformedKind", "evidence-kind-empty", "a kind without a name", named("")),
		unreadable("MalformedKind", "evidence-kind-escape", "a kind that would colour a terminal", named("\x1b[31m")),
		unreadable("MalformedDer", "evidence-cluster-short", "a cluster of 31 bytes", evidenceBlock(evidence(statement("x", cluster[1:], nil)))),
		unreadable("MalformedDer", "evidence-body-not-der", "a known kind whose body is nothing", named(joinKey)),
		unreadable("TrailingDer", "evidence-statement-trailing-field", "a field after the body", evidenceBlock(evidence(trailing))),
		unreadable("TrailingDer", "evidence-body-trailing-field", "a field after the signature",
			evidenceBlock(evidence(statement(joinKey, cluster, tlv(tagSequence, usualClaim.shown, octets(nil), null))))),
		unreadable("MalformedDer", "evidence-certificate-is-a-key", "a key where the certificate belongs", signed(previousCertificate, spki(machine))),
		unreadable("MalformedDer", "evidence-certificate-version-1", "a certificate of version 1, which no Kubernetes signer issues",
			signed(previousCertificate, certificate(nil, 1, spki(machine)))),
		unreadable("MalformedKey", "evidence-key-compressed-point", "a key as a compressed point", signed(joinKey, compressed)),
		unreadable("RsaKeySize", "evidence-key-rsa-1024", "an RSA key that is too small", signed(joinKey, spki(rsaKey(1024, "rsa1024")))),
		unreadable("UnsupportedKey", "evidence-key-p521", "a key on a curve that is not taken", signed(joinKey, spki(crypto.Signer(ecKey(elliptic.P521(), "p521"))))),
	}
}

// refusedEvidence is refused with the request, because something else than evidence is there.
func refusedEvidence() []vector {
	usualPEM, evilPEM, block := armour(usual.der()), armour(evil.der()), evidenceBlock(evidence(by(machine, ecdsaSHA256).statement()))
	end := []byte("-----END ROLLCALL EVIDENCE-----\n")
	between := func(text []byte) []byte { return slices.Concat(usualPEM, text, block) }
	return []vector{
		refusedText("WrongPemLabel", "pem-evidence-first", "evidence before the request", slices.Concat(block, usualPEM)),
		refusedText("TrailingData", "pem-evidence-text-between", "text between the request and its evidence", between([]byte("x\n"))),
		refusedText("TrailingData", "pem-evidence-text-after", "text after the evidence", slices.Concat(between(nil), []byte("x\n"))),
		refusedText("TrailingData", "pem-evidence-other-label", "a certificate after the evidence",
			slices.Concat(between(nil), bytes.ReplaceAll(block, []byte(evidenceLabel), []byte("CERTIFICATE")))),
		refusedText("TrailingData", "pem-evidence-second-request", "a second request after the evidence", slices.Concat(between(nil), evilPEM)),
		refusedText("TrailingData", "pem-evidence-no-end", "evidence without its END", bytes.TrimSuffix(between(nil), end)),
		refusedText("TrailingData", "pem-evidence-around-request", "a second request inside the evidence",
			bytes.Replace(between(nil), end, slices.Concat(evilPEM, end), 1)),
		refusedText("TooLarge", "pem-evidence-too-large", "more than 16 KiB of evidence",
			slices.Concat(usualPEM, evidenceBlock(evidence(statement("x", cluster, make([]byte, 13000)))))),
	}
}

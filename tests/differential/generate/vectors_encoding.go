package main

import (
	"bytes"
	"slices"
)

// evil is a request for another node: what an attacker would hide behind a usual one.
var evil = with(func(r *request) {
	r.subject = subject(organization(nodes), commonName("system:node:evil"))
})

// armourVectors are refused for what is around the request.
func armourVectors() []vector {
	usualPEM, evilPEM := armour(usual.der()), armour(evil.der())
	begin := []byte("-----BEGIN CERTIFICATE REQUEST-----\n")
	label := func(name string) []byte {
		return bytes.ReplaceAll(usualPEM, []byte("CERTIFICATE REQUEST"), []byte(name))
	}
	sees := func(v vector, sees content) vector { v.GoSees = &sees; return v }
	return []vector{
		refusedText("TrailingData", "pem-two-blocks", "a second request after the first", slices.Concat(usualPEM, evilPEM)),
		refusedText("TrailingData", "pem-text-after", "text after the block", slices.Concat(usualPEM, []byte("x\n"))),
		refusedText("LeadingData", "pem-text-before", "text before the block, as openssl req -text writes it",
			slices.Concat([]byte("Certificate Request:\n"), usualPEM)),
		refusedText("LeadingData", "pem-byte-order-mark", "a byte order mark before the block", slices.Concat([]byte("\ufeff"), usualPEM)),
		refusedText("LeadingData", "pem-indented", "a blank before BEGIN on its line", slices.Concat([]byte(" "), usualPEM)),
		sees(refusedText("WrongPemLabel", "pem-skipped-first-block", "a first block that Go skips because its END does not match",
			slices.Concat([]byte("-----BEGIN X-----\nAAAA\n-----END Y-----\n"), evilPEM)), content{CommonName: "system:node:evil"}),
		sees(refusedText("MalformedPem", "pem-begin-twice", "a BEGIN line without an END, which Go skips",
			slices.Concat(begin, []byte("AAAA\n"), evilPEM)), content{CommonName: "system:node:evil"}),
		sees(refusedText("MalformedPem", "pem-malformed-first-block", "a first block whose content is not base64, which Go skips",
			slices.Concat(begin, []byte("!\n-----END CERTIFICATE REQUEST-----\n"), evilPEM)), content{CommonName: "system:node:evil"}),
		refusedText("PemHeaders", "pem-headers", "headers in the block",
			bytes.Replace(usualPEM, begin, slices.Concat(begin, []byte("Node: worker-0\n\n")), 1)),
		refusedText("WrongPemLabel", "pem-certificate", "the label of a certificate", label("CERTIFICATE")),
		refusedText("WrongPemLabel", "pem-new-certificate-request", "the label that Microsoft tools write", label("NEW CERTIFICATE REQUEST")),
		refusedText("WrongPemLabel", "pem-lower-case", "the label in lower case", label("certificate request")),
		refusedText("MalformedPem", "pem-truncated", "no END", usualPEM[:len(usualPEM)/2]),
		refusedText("MalformedPem", "pem-blank-line", "a blank line in the block", bytes.Replace(usualPEM, begin, append(begin, '\n'), 1)),
		refusedText("MalformedPem", "pem-empty", "a block without lines but for a blank one", []byte("-----BEGIN CERTIFICATE REQUEST-----\n\n-----END CERTIFICATE REQUEST-----\n")),
		refusedText("MalformedDer", "pem-no-content", "a block without content", []byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")),
		refusedText("NotPem", "pem-none", "base64 without armour", []byte("TUlJQg==\n")),
		refusedText("TooLarge", "pem-too-large", "more than 16 KiB, of white space", slices.Concat(usualPEM, bytes.Repeat([]byte("\n"), 16*1024))),
	}
}

// derVectors are refused because their bytes are not the one encoding that everybody reads alike.
func derVectors() []vector {
	der := usual.der()
	parts := [][]byte{usual.info(), usual.algorithm.identifier, bits(usual.signature())}
	return []vector{
		refusedDER("TrailingDer", "der-trailing-byte", "a byte after the request", append(slices.Clone(der), 0)),
		refusedDER("TrailingDer", "der-trailing-field", "a field after the signature, which Go ignores", tlv(tagSequence, append(parts, null)...)),
		refusedDER("MalformedDer", "der-truncated", "half a request", der[:len(der)/2]),
		refusedDER("MalformedDer", "der-empty", "nothing", []byte{}),
		refusedDER("MalformedDer", "der-padded-length", "a length in more bytes than needed (BER)", paddedTLV(tagSequence, slices.Concat(parts...))),
		refusedDER("MalformedDer", "der-indefinite-length", "a length that the end of the content tells (BER)",
			slices.Concat([]byte{tagSequence, 0x80}, parts[0], parts[1], parts[2], []byte{0, 0})),
		refusedDER("MalformedDer", "der-signature-unused-bits", "a signature with unused bits, which Go shifts away",
			tlv(tagSequence, parts[0], parts[1], tlv(tagBitString, []byte{1}, usual.signature()[:8], []byte{0}))),
		refused("TrailingDer", "info-trailing-field", "a field after the attributes, which Go ignores",
			with(func(r *request) { r.extra = null })),
		refused("MalformedDer", "info-no-attributes", "no attributes, not even an empty set",
			with(func(r *request) { r.attributes = nil })),
		refused("UnsupportedVersion", "info-version-1", "another version, which Go takes",
			with(func(r *request) { r.version = tlv(tagInteger, []byte{1}) })),
		refused("UnsupportedVersion", "info-version-padded", "version 0 in two bytes",
			with(func(r *request) { r.version = tlv(tagInteger, []byte{0, 0}) })),
		refused("UnsupportedVersion", "info-version-negative", "a negative version, which Go takes",
			with(func(r *request) { r.version = tlv(tagInteger, []byte{0xff}) })),
	}
}

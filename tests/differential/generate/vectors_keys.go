package main

import (
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
)

// keyVectors are refused for the public key or the signature.
func keyVectors() []vector {
	point := spki(p256Key)[len(spki(p256Key))-65:]
	p256 := tlv(tagSequence, oid(1, 2, 840, 10045, 2, 1), oid(1, 2, 840, 10045, 3, 1, 7))
	publicKey := func(parts ...[]byte) request { return with(func(r *request) { r.spki = tlv(tagSequence, parts...) }) }

	broken := usual.signature()
	broken[len(broken)-1] ^= 1
	withSignature := func(identifier, signature []byte) []byte {
		return tlv(tagSequence, usual.info(), identifier, bits(signature))
	}
	offCurve := slices.Clone(point)
	offCurve[len(offCurve)-1] ^= 1
	rsa2048 := rsaKey(2048, "rsa2048")
	rsaSPKI := func(modulus, exponent []byte, more ...[]byte) request {
		key := tlv(tagSequence, append([][]byte{tlv(tagInteger, modulus), tlv(tagInteger, exponent)}, more...)...)
		r := withKey(rsa2048, rsaSHA256)
		r.spki = tlv(tagSequence, tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 1), null), bits(key))
		return r
	}
	modulus := append([]byte{0}, rsa2048.N.Bytes()...)
	e := []byte{1, 0, 1}

	return []vector{
		refusedDER("BadSignature", "signature-broken", "one bit of the signature changed", withSignature(ecdsaSHA256.identifier, broken)),
		refusedDER("BadSignature", "signature-of-another-request", "the signature of another request", withSignature(ecdsaSHA256.identifier, evil.signature())),
		refusedDER("BadSignature", "signature-empty", "no signature", withSignature(ecdsaSHA256.identifier, nil)),
		refusedDER("BadSignature", "signature-by-another-key", "signed by another key",
			withSignature(ecdsaSHA256.identifier, sign(ecKey(elliptic.P256(), "other"), ecdsaSHA256, usual.info()))),
		refused("UnsupportedSignatureAlgorithm", "signature-ecdsa-sha1", "ECDSA with SHA-1, which Go takes in requests", withKey(p256Key, ecdsaSHA1)),
		refused("UnsupportedSignatureAlgorithm", "signature-ecdsa-sha512", "ECDSA with SHA-512, which is not verified here", withKey(p256Key, ecdsaSHA512)),
		refused("UnsupportedSignatureAlgorithm", "signature-rsa-sha1", "RSA with SHA-1, which Go takes in requests", withKey(rsa2048, rsaSHA1)),
		refusedDER("UnsupportedSignatureAlgorithm", "signature-rsa-pss", "RSASSA-PSS", rsaPSS(rsa2048)),
		refusedDER("UnsupportedSignatureAlgorithm", "signature-parameters", "parameters where there are none, which Go ignores",
			withSignature(tlv(tagSequence, oid(1, 2, 840, 10045, 4, 3, 2), null), usual.signature())),
		refusedDER("UnsupportedSignatureAlgorithm", "signature-malformed-parameters", "parameters that are no value (found by fuzzing)",
			withSignature(tlv(tagSequence, oid(1, 2, 840, 10045, 4, 3, 2), []byte{0xa0, 5}), usual.signature())),
		refusedDER("UnsupportedSignatureAlgorithm", "signature-of-another-kind", "an RSA signature algorithm with an ECDSA key",
			withSignature(rsaSHA256.identifier, usual.signature())),
		refused("UnsupportedKey", "key-p521", "P-521, which is not verified here", withKey(ecKey(elliptic.P521(), "p521"), ecdsaSHA512)),
		refused("UnsupportedKey", "key-p224", "P-224", withKey(ecKey(elliptic.P224(), "p224"), ecdsaSHA256)),
		refused("UnsupportedKey", "key-explicit-null-parameters", "an elliptic curve key without a curve",
			publicKey(tlv(tagSequence, oid(1, 2, 840, 10045, 2, 1), null), bits(point))),
		refused("UnsupportedKey", "key-x25519", "a key that cannot sign", publicKey(tlv(tagSequence, oid(1, 3, 101, 110)), bits(point[:32]))),
		refused("RsaKeySize", "key-rsa-1024", "RSA of 1024 bits, which Go takes", withKey(rsaKey(1024, "rsa1024"), rsaSHA256)),
		refused("MalformedKey", "key-rsa-even-exponent", "an even exponent", rsaSPKI(modulus, []byte{2})),
		refused("MalformedKey", "key-rsa-large-exponent", "an exponent larger than Go takes", rsaSPKI(modulus, []byte{1, 0, 0, 0, 1})),
		refused("MalformedDer", "key-rsa-negative-modulus", "a modulus whose sign is missing", rsaSPKI(rsa2048.N.Bytes(), e)),
		refused("TrailingDer", "key-rsa-trailing-field", "a field after the exponent, which Go ignores", rsaSPKI(modulus, e, null)),
		refused("MalformedKey", "key-compressed-point", "a compressed point", publicKey(p256, bits(append([]byte{2 + point[64]&1}, point[1:33]...)))),
		refused("BadSignature", "key-point-off-curve", "a point that is not on the curve", publicKey(p256, bits(offCurve))),
		refused("TrailingDer", "key-trailing-field", "a field after the key, which Go ignores", publicKey(p256, bits(point), null)),
		refused("UnsupportedKey", "key-algorithm-trailing-field", "a field after the curve, which Go ignores",
			publicKey(tlv(tagSequence, oid(1, 2, 840, 10045, 2, 1), oid(1, 2, 840, 10045, 3, 1, 7), null), bits(point))),
		refused("MalformedDer", "key-unused-bits", "a key with unused bits", publicKey(p256, tlv(tagBitString, []byte{1}, point, []byte{0}))),
	}
}

// rsaPSS is a request that says RSASSA-PSS with SHA-256. PSS needs a random salt, so the signature is a PKCS#1 v1.5 one
// instead, which keeps the vector the same each time; it is refused before the signature is verified.
func rsaPSS(key *rsa.PrivateKey) []byte {
	hash := tlv(tagSequence, oid(2, 16, 840, 1, 101, 3, 4, 2, 1), null)
	mask := tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 8), hash)
	parameters := tlv(tagSequence, tlv(0xa0, hash), tlv(0xa1, mask), tlv(0xa2, tlv(tagInteger, []byte{32})))
	r := withKey(key, rsaSHA256)
	identifier := tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 10), parameters)
	return tlv(tagSequence, r.info(), identifier, bits(r.signature()))
}

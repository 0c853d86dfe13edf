package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"math/big"

	"crypto/x509"
)

// The keys are made from fixed seeds, and every signature is made without randomness, so that the vectors come out
// the same each time and no private key has to be kept. They protect nothing.

// ecKey is a key whose secret is a hash of the seed.
func ecKey(curve elliptic.Curve, seed string) *ecdsa.PrivateKey {
	secret := make([]byte, (curve.Params().BitSize+7)/8)
	sum := sha256.Sum256([]byte(seed))
	copy(secret[max(0, len(secret)-len(sum)):], sum[:])
	key, err := ecdsa.ParseRawPrivateKey(curve, secret)
	check(err)
	return key
}

func ed25519Key(seed string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

// rsaKey is a key whose primes are the first ones after a hash of the seed.
func rsaKey(bits int, seed string) *rsa.PrivateKey {
	e := big.NewInt(65537)
	one := big.NewInt(1)
	p, q := prime(bits/2, seed+"p"), prime(bits/2, seed+"q")
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())},
		D:         new(big.Int).ModInverse(e, phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	check(key.Validate())
	return key
}

// prime is the first prime after a number that hashes make of the seed, with its two highest bits set.
func prime(bits int, seed string) *big.Int {
	var start []byte
	for block := uint32(0); len(start) < bits/8; block++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(seed), block))
		start = append(start, sum[:]...)
	}
	start = start[:bits/8]
	start[0] |= 0xc0
	start[len(start)-1] |= 1
	candidate, two := new(big.Int).SetBytes(start), big.NewInt(2)
	for !candidate.ProbablyPrime(20) {
		candidate.Add(candidate, two)
	}
	return candidate
}

func spki(key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	check(err)
	return der
}

// algorithm is a signature algorithm: its AlgorithmIdentifier, and the hash it signs.
type algorithm struct {
	identifier []byte
	hash       crypto.Hash
}

var null = []byte{asn1.TagNull, 0}

var (
	ecdsaSHA1   = algorithm{tlv(tagSequence, oid(1, 2, 840, 10045, 4, 1)), crypto.SHA1}
	ecdsaSHA256 = algorithm{tlv(tagSequence, oid(1, 2, 840, 10045, 4, 3, 2)), crypto.SHA256}
	ecdsaSHA384 = algorithm{tlv(tagSequence, oid(1, 2, 840, 10045, 4, 3, 3)), crypto.SHA384}
	ecdsaSHA512 = algorithm{tlv(tagSequence, oid(1, 2, 840, 10045, 4, 3, 4)), crypto.SHA512}
	pureEd25519 = algorithm{tlv(tagSequence, oid(1, 3, 101, 112)), crypto.Hash(0)}
	rsaSHA1     = algorithm{tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 5), null), crypto.SHA1}
	rsaSHA256   = algorithm{tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 11), null), crypto.SHA256}
	rsaSHA384   = algorithm{tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 12), null), crypto.SHA384}
	rsaSHA512   = algorithm{tlv(tagSequence, oid(1, 2, 840, 113549, 1, 1, 13), null), crypto.SHA512}
)

// sign signs without randomness: ECDSA as RFC 6979 says, RSA with PKCS#1 v1.5, Ed25519.
func sign(key crypto.Signer, with algorithm, message []byte) []byte {
	digest := message
	if with.hash != crypto.Hash(0) {
		hash := with.hash.New()
		hash.Write(message)
		digest = hash.Sum(nil)
	}
	signature, err := key.Sign(nil, digest, with.hash)
	check(err)
	return signature
}

package main

import (
	"encoding/asn1"
	"slices"
)

// Tags that the vectors use, as whole bytes (X.690 section 8.1.2).
const (
	tagBoolean         = 0x01
	tagInteger         = 0x02
	tagBitString       = 0x03
	tagOctetString     = 0x04
	tagOID             = 0x06
	tagUTF8String      = 0x0c
	tagNumericString   = 0x12
	tagPrintableString = 0x13
	tagT61String       = 0x14
	tagIA5String       = 0x16
	tagBMPString       = 0x1e
	tagSequence        = 0x30
	tagSet             = 0x31
	tagAttributes      = 0xa0
)

// tlv encodes one value with its length in the fewest bytes.
func tlv(tag byte, parts ...[]byte) []byte {
	contents := slices.Concat(parts...)
	n := len(contents)
	switch {
	case n < 0x80:
		return slices.Concat([]byte{tag, byte(n)}, contents)
	case n < 0x100:
		return slices.Concat([]byte{tag, 0x81, byte(n)}, contents)
	default:
		return slices.Concat([]byte{tag, 0x82, byte(n >> 8), byte(n)}, contents)
	}
}

// paddedTLV encodes one value with its length in two bytes more than needed, which BER allows and DER does not.
func paddedTLV(tag byte, contents []byte) []byte {
	return slices.Concat([]byte{tag, 0x83, 0, byte(len(contents) >> 8), byte(len(contents))}, contents)
}

func oid(arcs ...int) []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	check(err)
	return der
}

var (
	oidCommonName       = oid(2, 5, 4, 3)
	oidSerialNumber     = oid(2, 5, 4, 5)
	oidLocality         = oid(2, 5, 4, 7)
	oidState            = oid(2, 5, 4, 8)
	oidOrganization     = oid(2, 5, 4, 10)
	oidUnit             = oid(2, 5, 4, 11)
	oidExtensionRequest = oid(1, 2, 840, 113549, 1, 9, 14)
	oidChallenge        = oid(1, 2, 840, 113549, 1, 9, 7)
	oidUnstructuredName = oid(1, 2, 840, 113549, 1, 9, 2)
	oidSubjectAltName   = oid(2, 5, 29, 17)
	oidBasicConstraints = oid(2, 5, 29, 19)
	oidKeyUsage         = oid(2, 5, 29, 15)
	oidExtKeyUsage      = oid(2, 5, 29, 37)
)

// attribute is an AttributeTypeAndValue; rdn puts some of them into one relative distinguished name.
func attribute(oid []byte, tag byte, value string) []byte {
	return tlv(tagSequence, oid, tlv(tag, []byte(value)))
}

func rdn(attributes ...[]byte) []byte { return tlv(tagSet, attributes...) }

func organization(value string) []byte {
	return rdn(attribute(oidOrganization, tagPrintableString, value))
}

func commonName(value string) []byte {
	return rdn(attribute(oidCommonName, tagPrintableString, value))
}

func subject(rdns ...[]byte) []byte { return tlv(tagSequence, rdns...) }

func attributes(values ...[]byte) []byte { return tlv(tagAttributes, values...) }

// csrAttribute is an Attribute of PKCS#10: a type and a set of values.
func csrAttribute(oid []byte, values ...[]byte) []byte {
	return tlv(tagSequence, oid, tlv(tagSet, values...))
}

func extensionRequest(extensions ...[]byte) []byte {
	return csrAttribute(oidExtensionRequest, tlv(tagSequence, extensions...))
}

func extension(oid []byte, value []byte) []byte {
	return tlv(tagSequence, oid, tlv(tagOctetString, value))
}

func sanExtension(names ...[]byte) []byte {
	return extension(oidSubjectAltName, tlv(tagSequence, names...))
}

// sans are the attributes of a request for these names, made the usual way.
func sans(names ...[]byte) []byte { return attributes(extensionRequest(sanExtension(names...))) }

func dns(name string) []byte   { return tlv(0x82, []byte(name)) }
func email(name string) []byte { return tlv(0x81, []byte(name)) }
func uri(name string) []byte   { return tlv(0x86, []byte(name)) }
func ip(octets ...byte) []byte { return tlv(0x87, octets) }

package main

// nameVectors are refused for the attributes: the names and whatever else is asked for.
func nameVectors() []vector {
	asking := func(values ...[]byte) request { return with(func(r *request) { r.attributes = attributes(values...) }) }
	names := func(names ...[]byte) request { return asking(extensionRequest(sanExtension(names...))) }
	good, bad := sanExtension(dns("good")), sanExtension(dns("evil"))
	constraints := extension(oidBasicConstraints, tlv(tagSequence, tlv(tagBoolean, []byte{0xff})))
	list := func(extensions ...[]byte) []byte { return tlv(tagSequence, extensions...) }
	critical := func(value ...byte) request {
		return asking(extensionRequest(tlv(tagSequence, oidSubjectAltName, tlv(tagBoolean, value),
			tlv(tagOctetString, tlv(tagSequence, dns("good"))))))
	}
	mapped := ip(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1)
	directoryName := subject(commonName("evil"))

	return []vector{
		{File: "two-extension-requests.der", About: "an empty extension request, then one with a name: x509-parser and OpenSSL show none",
			Refused: "SeveralExtensionRequests", GoSees: &content{DNS: []string{"evil"}}, data: existing("two-extension-requests.der")},
		trap("SeveralExtensionRequests", "attributes-two-extension-requests", "Go merges both",
			asking(extensionRequest(good), extensionRequest()), content{DNS: []string{"good"}}),
		trap("SeveralExtensionRequests", "attributes-second-extension-request", "Go reads the name in the second one",
			asking(extensionRequest(), extensionRequest(bad)), content{DNS: []string{"evil"}}),
		trap("SeveralAttributeValues", "attributes-two-values", "Go reads the first value only",
			asking(csrAttribute(oidExtensionRequest, list(bad), list(good))), content{DNS: []string{"evil"}}),
		refused("SeveralAttributeValues", "attributes-no-value", "an extension request without a value, which Go ignores", asking(csrAttribute(oidExtensionRequest))),
		refused("ForeignAttribute", "attributes-challenge-password", "a challenge password, as OpenSSL asks for it",
			asking(csrAttribute(oidChallenge, tlv(tagUTF8String, []byte("secret"))))),
		refused("ForeignAttribute", "attributes-unstructured-name", "an unstructured name beside good names",
			asking(extensionRequest(good), csrAttribute(oidUnstructuredName, tlv(tagUTF8String, []byte("x"))))),
		trap("MalformedDer", "attributes-not-an-attribute", "a value that is no attribute, which Go ignores, before one that is",
			asking(null, extensionRequest(bad)), content{DNS: []string{"evil"}}),
		trap("TrailingDer", "attributes-trailing-field", "a field after the values, which Go ignores",
			asking(tlv(tagSequence, oidExtensionRequest, tlv(tagSet, list(bad)), null)), content{DNS: []string{"evil"}}),
		refused("ForeignExtension", "extension-basic-constraints", "CA:TRUE", asking(extensionRequest(constraints))),
		refused("ForeignExtension", "extension-basic-constraints-after-names", "CA:TRUE after good names", asking(extensionRequest(good, constraints))),
		refused("ForeignExtension", "extension-key-usage", "key usage", asking(extensionRequest(extension(oidKeyUsage, tlv(tagBitString, []byte{5, 0xa0}))))),
		refused("ForeignExtension", "extension-extended-key-usage", "extended key usage",
			asking(extensionRequest(extension(oidExtKeyUsage, tlv(tagSequence, oid(1, 3, 6, 1, 5, 5, 7, 3, 2)))))),
		refused("SeveralSubjectAltNames", "extension-two-subject-alt-names", "two lists of names", asking(extensionRequest(good, bad))),
		refused("MalformedDer", "extension-critical-false", "a default that DER leaves out", critical(0)),
		refused("MalformedDer", "extension-critical-one", "TRUE in another byte than DER's (BER)", critical(1)),
		refused("TrailingDer", "extension-trailing-field", "a field after the value of the extension, which Go ignores",
			asking(extensionRequest(tlv(tagSequence, oidSubjectAltName, tlv(tagOctetString, tlv(tagSequence, dns("evil"))), null)))),
		trap("TrailingDer", "names-trailing-bytes", "a second list after the list of names, which Go ignores",
			asking(extensionRequest(extension(oidSubjectAltName, append(tlv(tagSequence, dns("evil")), tlv(tagSequence, dns("good"))...)))),
			content{DNS: []string{"evil"}}),
		refused("EmptySubjectAltName", "names-none", "a list of names without names", names()),
		refused("UnsupportedGeneralName", "names-other-name", "otherName, which Go drops",
			names(dns("good"), tlv(0xa0, oid(1, 3, 6, 1, 4, 1, 311, 20, 2, 3), tlv(0xa0, tlv(tagUTF8String, []byte("evil")))))),
		refused("UnsupportedGeneralName", "names-directory-name", "directoryName, which Go drops", names(dns("good"), tlv(0xa4, directoryName))),
		refused("UnsupportedGeneralName", "names-registered-id", "registeredID, which Go drops", names(dns("good"), tlv(0x88, []byte{0x2a, 3}))),
		refused("UnsupportedGeneralName", "names-x400-address", "x400Address, which Go drops", names(dns("good"), tlv(0xa3, tlv(tagSequence)))),
		refused("UnsupportedGeneralName", "names-edi-party-name", "ediPartyName, which Go drops", names(dns("good"), tlv(0xa5, tlv(0x81, []byte("x"))))),
		refused("UnsupportedGeneralName", "names-constructed-dns", "a DNS name in constructed form, which Go drops", names(dns("good"), tlv(0xa2, tlv(0x82, []byte("evil"))))),
		refused("UnsupportedGeneralName", "names-only-other-name", "only names that Go drops", names(tlv(0x88, []byte{0x2a, 3}))),
		refused("BadIpAddress", "names-ip-of-5-bytes", "an address with a byte too many", names(ip(10, 0, 0, 1, 0))),
		refused("BadIpAddress", "names-ip-with-mask", "an address and a mask, as in name constraints", names(ip(10, 0, 0, 1, 255, 255, 255, 0))),
		refused("BadIpAddress", "names-ip-empty", "an address without bytes", names(dns("good"), ip())),
		trap("MappedIpAddress", "names-ip-mapped", "an IPv4 address in IPv6 form, which is issued as IPv4", names(mapped), content{IPs: []string{"10.0.0.1"}}),
		trap("ForbiddenCharacter", "names-dns-nul", "a NUL in a DNS name", names(dns("good\x00.evil")), content{DNS: []string{"good\x00.evil"}}),
		refused("ForbiddenCharacter", "names-dns-blank", "a blank in a DNS name", names(dns("good evil"))),
		refused("ForbiddenCharacter", "names-dns-not-ascii", "a DNS name that is not ASCII", names(dns("gööd"))),
		refused("ForbiddenCharacter", "names-dns-empty", "a DNS name without text", names(dns(""))),
		refused("ForbiddenCharacter", "names-email-line-feed", "a line feed in an e-mail address", names(email("a@b\nc"))),
		refused("UnsupportedUri", "names-uri-port", "a URI with a port", names(uri("https://good:6443/"))),
		refused("UnsupportedUri", "names-uri-upper-case", "a URI that Go writes differently", names(uri("HTTPS://good/"))),
		refused("UnsupportedUri", "names-uri-escaped", "a URI with an escaped letter", names(uri("https://good/%65vil"))),
	}
}

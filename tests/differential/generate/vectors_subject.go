package main

// subjectVectors are refused for who the certificate would be for.
func subjectVectors() []vector {
	of := func(rdns ...[]byte) request { return with(func(r *request) { r.subject = subject(rdns...) }) }
	named := func(tag byte, value string) request {
		return of(organization(nodes), rdn(attribute(oidCommonName, tag, value)))
	}
	foreign := func(oid []byte, value string) request {
		return of(organization(nodes), commonName(worker), rdn(attribute(oid, tagPrintableString, value)))
	}
	other := func(rdns ...string) content { return content{CommonName: worker, OtherRDNs: rdns} }

	return []vector{
		trap("SeveralCommonNames", "subject-two-common-names", "Go takes the last one", of(organization(nodes),
			commonName(worker), commonName("system:node:evil")), content{CommonName: "system:node:evil"}),
		trap("SeveralOrganizations", "subject-two-organizations", "a second group", of(organization(nodes),
			organization("system:masters"), commonName(worker)), content{Organization: "system:nodes,system:masters"}),
		trap("MultiValuedRdn", "subject-multi-valued-rdn", "O and CN in one relative distinguished name", of(
			rdn(attribute(oidOrganization, tagPrintableString, nodes), attribute(oidCommonName, tagPrintableString, worker))),
			content{Organization: nodes, CommonName: worker}),
		trap("MultiValuedRdn", "subject-two-common-names-in-one-rdn", "a second common name beside the first", of(organization(nodes),
			rdn(attribute(oidCommonName, tagPrintableString, worker), attribute(oidCommonName, tagPrintableString, "system:node:evil"))),
			content{CommonName: "system:node:evil"}),
		trap("ForeignSubjectAttribute", "subject-unit", "OU survives into the certificate",
			foreign(oidUnit, "unit"), other("2.5.4.11=unit")),
		trap("ForeignSubjectAttribute", "subject-locality", "L survives into the certificate",
			foreign(oidLocality, "place"), other("2.5.4.7=place")),
		trap("ForeignSubjectAttribute", "subject-state", "ST survives into the certificate",
			foreign(oidState, "state"), other("2.5.4.8=state")),
		trap("ForeignSubjectAttribute", "subject-serial-number", "serialNumber survives into the certificate",
			foreign(oidSerialNumber, "1"), other("2.5.4.5=1")),
		refused("ForeignSubjectAttribute", "subject-unknown-attribute", "an attribute that nobody knows", foreign(oid(2, 999, 3), "x")),
		refused("MissingOrganization", "subject-empty", "no subject at all", of()),
		refused("MissingOrganization", "subject-no-organization", "no organization", of(commonName(worker))),
		refused("MissingCommonName", "subject-no-common-name", "no common name", of(organization(nodes))),
		refused("EmptySubjectAttribute", "subject-empty-common-name", "a common name without text", of(organization(nodes), commonName(""))),
		refused("EmptySubjectAttribute", "subject-empty-organization", "an organization without text", of(organization(""), commonName(worker))),
		trap("ForbiddenCharacter", "subject-nul", "a NUL, where C programs stop reading", named(tagUTF8String, worker+"\x00.evil"),
			content{CommonName: worker + "\x00.evil"}),
		refused("ForbiddenCharacter", "subject-line-feed", "a line feed", named(tagUTF8String, worker+"\nevil")),
		refused("ForbiddenCharacter", "subject-right-to-left", "a character that turns the text around", named(tagUTF8String, "system:node:\u202e0-rekrow")),
		refused("ForbiddenCharacter", "subject-not-utf8", "bytes that are not UTF-8", named(tagUTF8String, "system:node:\xff")),
		refused("ForbiddenCharacter", "subject-not-printable-string", "a PrintableString with an asterisk, which Go takes",
			named(tagPrintableString, "system:node:*")),
		refused("UnsupportedStringType", "subject-t61-string", "a T61String", named(tagT61String, worker)),
		trap("UnsupportedStringType", "subject-bmp-string", "a BMPString: two bytes for each character",
			named(tagBMPString, "\x00e\x00v\x00i\x00l"), content{CommonName: "evil"}),
		refused("UnsupportedStringType", "subject-ia5-string", "an IA5String", named(tagIA5String, worker)),
		refused("UnsupportedStringType", "subject-numeric-string", "a NumericString", named(tagNumericString, "1")),
		refused("UnsupportedStringType", "subject-integer", "a number instead of a text", named(tagInteger, "\x01")),
		refused("TrailingDer", "subject-attribute-trailing-field", "a field after the value, which Go ignores", of(organization(nodes),
			rdn(tlv(tagSequence, oidCommonName, tlv(tagPrintableString, []byte(worker)), null)))),
		refused("MalformedDer", "subject-empty-rdn", "a relative distinguished name without attributes", of(organization(nodes), commonName(worker), rdn())),
	}
}

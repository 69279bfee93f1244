//! The parts of a catalog in ASN.1.

use crate::Error;
use crate::hash::{Hash, Kind};
use der::asn1::{
    Any, BitString, BmpString, ContextSpecific, Null, ObjectIdentifier, OctetString, SetOfVec,
};
use der::{Decode as _, Encode, Sequence, Tag, TagMode, TagNumber, Tagged, ValueOrd};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

/// Object identifiers, by their names in Windows' headers (wincrypt.h, wintrust.h, mscat.h).
pub mod oid {
    use der::asn1::ObjectIdentifier;

    const fn new(text: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(text)
    }

    /// szOID_RSA_signedData
    pub const SIGNED_DATA: ObjectIdentifier = new("1.2.840.113549.1.7.2");
    /// szOID_CTL
    pub const TRUST_LIST: ObjectIdentifier = new("1.3.6.1.4.1.311.10.1");
    /// szOID_CATALOG_LIST
    pub const CATALOG_LIST: ObjectIdentifier = new("1.3.6.1.4.1.311.12.1.1");
    /// szOID_CATALOG_LIST_MEMBER2
    pub const CATALOG_LIST_MEMBER_2: ObjectIdentifier = new("1.3.6.1.4.1.311.12.1.3");
    /// CAT_NAMEVALUE_OBJID
    pub const NAME_VALUE: ObjectIdentifier = new("1.3.6.1.4.1.311.12.2.1");
    /// CAT_MEMBERINFO2_OBJID
    pub const MEMBER_INFO_2: ObjectIdentifier = new("1.3.6.1.4.1.311.12.2.3");
    /// SPC_INDIRECT_DATA_OBJID
    pub const INDIRECT_DATA: ObjectIdentifier = new("1.3.6.1.4.1.311.2.1.4");
    /// SPC_PE_IMAGE_DATA_OBJID
    pub const IMAGE_DATA: ObjectIdentifier = new("1.3.6.1.4.1.311.2.1.15");
    /// SPC_CAB_DATA_OBJID, which is what flat files have
    pub const FLAT_DATA: ObjectIdentifier = new("1.3.6.1.4.1.311.2.1.25");
    /// szOID_NIST_sha256
    pub const SHA_256: ObjectIdentifier = new("2.16.840.1.101.3.4.2.1");
}

/// The tag of a CAT_MEMBERINFO2 that is empty.
pub const EMPTY_MEMBER_INFO: Tag = Tag::ContextSpecific {
    constructed: false,
    number: TagNumber::N2,
};

/// CRYPTCATATTRIBUTE's flags: the attribute is authenticated, its name is text, its value is text.
const TEXT_ATTRIBUTE: u32 = 0x1001_0001;

/// CTL (MS-CAESO 2.2): the content of a catalog.
#[derive(Clone, Debug, Sequence)]
pub struct TrustList {
    pub usage: Vec<ObjectIdentifier>,
    pub list_identifier: OctetString,
    pub this_update: Time,
    pub algorithm: AlgorithmIdentifierOwned,
    pub subjects: Vec<TrustedSubject>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub extensions: Option<Vec<Extension>>,
}

/// A member.
#[derive(Clone, Debug, Sequence)]
pub struct TrustedSubject {
    pub identifier: OctetString,
    pub attributes: SetOfVec<Attribute>,
}

/// An attribute of a member.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub struct Attribute {
    pub id: ObjectIdentifier,
    pub values: SetOfVec<Any>,
}

impl Attribute {
    pub fn new(id: ObjectIdentifier, value: &(impl Encode + Tagged)) -> der::Result<Self> {
        let mut values = SetOfVec::new();
        values.insert(any(value)?)?;
        Ok(Self { id, values })
    }
}

/// An attribute of the whole catalog.
#[derive(Clone, Debug, Sequence)]
pub struct Extension {
    pub id: ObjectIdentifier,
    pub value: OctetString,
}

impl Extension {
    pub fn new(id: ObjectIdentifier, value: &impl Encode) -> der::Result<Self> {
        let value = OctetString::new(value.to_der()?)?;
        Ok(Self { id, value })
    }
}

/// CAT_NAMEVALUE
#[derive(Clone, Debug, Sequence)]
pub struct NameValue {
    name: BmpString,
    flags: u32,
    /// UTF-16, little-endian, with a NUL.
    value: OctetString,
}

impl NameValue {
    pub fn new(name: &str, value: &str) -> der::Result<Self> {
        let units = value.encode_utf16().chain([0]);
        let value: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
        Ok(Self {
            name: BmpString::from_utf8(name)?,
            flags: TEXT_ATTRIBUTE,
            value: OctetString::new(value)?,
        })
    }

    /// Name and value.
    pub fn texts(&self) -> Result<(String, String), Error> {
        let (pairs, _) = self.value.as_bytes().as_chunks::<2>();
        let units = pairs.iter().copied().map(u16::from_le_bytes);
        let value = char::decode_utf16(units.take_while(|unit| *unit != 0))
            .collect::<Result<String, _>>()
            .map_err(|_| Error::NoCatalog("an attribute's value is no text"))?;
        Ok((self.name.to_string(), value))
    }
}

/// SpcIndirectDataContent: what is hashed, how, and the hash.
#[derive(Clone, Debug, Sequence)]
pub struct IndirectData {
    data: TypedData,
    digest: DigestInfo,
}

#[derive(Clone, Debug, Sequence)]
struct TypedData {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Clone, Debug, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// SpcPeImageData
#[derive(Clone, Debug, Sequence)]
struct ImageData {
    /// includeDebugInfo and includeImportAddressTable, as every signing tool writes it
    flags: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    file: Any,
}

impl IndirectData {
    pub fn new(kind: Kind, hash: &Hash) -> der::Result<Self> {
        let (kind, value) = match kind {
            Kind::Flat => (oid::FLAT_DATA, any(&no_file()?)?),
            Kind::Image => {
                let data = ImageData {
                    flags: BitString::new(5, &[0xA0][..])?,
                    file: any(&no_file()?)?,
                };
                (oid::IMAGE_DATA, any(&data)?)
            }
        };
        Ok(Self {
            data: TypedData { kind, value },
            digest: DigestInfo {
                algorithm: AlgorithmIdentifierOwned {
                    oid: oid::SHA_256,
                    parameters: Some(Any::from(Null)),
                },
                digest: OctetString::new(&hash[..])?,
            },
        })
    }

    pub fn kind(&self) -> Kind {
        match self.data.kind {
            oid::IMAGE_DATA => Kind::Image,
            _ => Kind::Flat,
        }
    }

    pub fn digest(&self) -> &[u8] {
        self.digest.digest.as_bytes()
    }
}

/// SpcLink's choice `file`, an SpcString's choice `unicode`, with the text that has stood there since the field lost its
/// use: `[2] EXPLICIT [0] IMPLICIT BMPString`.
fn no_file() -> der::Result<ContextSpecific<Any>> {
    let text = BmpString::from_utf8("<<<Obsolete>>>")?;
    let unicode = Tag::ContextSpecific {
        constructed: false,
        number: TagNumber::N0,
    };
    Ok(ContextSpecific {
        tag_number: TagNumber::N2,
        tag_mode: TagMode::Explicit,
        value: Any::new(unicode, text.as_bytes())?,
    })
}

fn any(value: &(impl Encode + Tagged)) -> der::Result<Any> {
    Any::from_der(&value.to_der()?)
}

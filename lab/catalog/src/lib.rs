//! Security catalogs of driver packages (.cat).
//!
//! A catalog lists hashes of a package's files and is signed; setup installs a package only if each file's hash is in it.
//! It is a PKCS #7 SignedData whose content is a certificate trust list: Microsoft documents the container
//! ([MS-CAESO], "Windows Authenticode Portable Executable Signature Format") but not the members' attributes, which are
//! those that `Inf2Cat` writes: `File`, `OSAttr`, the indirect data with the hash, and for the whole `OS` and `HWID1`…
//! This is version 2 of the format, with SHA-256 hashes, which Windows reads since 8.
//!
//! [`Catalog::to_der`] gives an unsigned catalog, the same bytes for the same input; tools as osslsigncode or signtool sign
//! it. [`Catalog::from_der`] reads a catalog, signed or not; it does not check signatures.
#![forbid(unsafe_code)]

mod asn1;
mod hash;
#[cfg(test)]
mod tests;

use asn1::{Attribute, Extension, IndirectData, NameValue, TrustList, TrustedSubject, oid};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData};
use der::asn1::{Any, Null, OctetString, SetOfVec, UtcTime};
use der::{DateTime, Decode as _, Encode as _};
pub use hash::{Hash, Kind, hash};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

/// The versions of Windows that a package for Windows 10 and later on x64 names, as Inf2Cat does for `/os:10_X64` and for
/// Windows 11.
pub const OS: &str = "_v100_X64,_v100_X64_22H2";
/// The attribute of each member for the same: platform 2 (NT), version 10.0.
pub const OS_ATTRIBUTE: &str = "2:10.0";

/// What is wrong with a catalog, or with a file by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no catalog.
    #[error("this is no security catalog: {0}")]
    NoCatalog(&'static str),
    /// The bytes are no catalog, by the ASN.1 reader's words.
    #[error("this is no security catalog: {0}")]
    Syntax(#[from] der::Error),
    /// A file that nobody signed for.
    #[error(
        "{0} is not in the catalog, or is not as it was when the catalog was made: its hash is not listed"
    )]
    NotListed(String),
    /// An image that is damaged.
    #[error("{0}: its headers do not fit its length, so it has no hash as an image")]
    Damaged(String),
}

/// A file that the catalog lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, if the catalog has it.
    pub name: Option<String>,
    /// How it is hashed.
    pub kind: Kind,
    /// Its hash.
    pub hash: Hash,
}

/// A catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// When it was made.
    pub time: DateTime,
    /// The files. In a catalog that was read, and in one that is written, in the order of their hashes.
    pub members: Vec<Member>,
    /// Attributes of the whole by their names: `OS`, `HWID1` and so on.
    pub attributes: Vec<(String, String)>,
}

impl Member {
    /// The member that a file is.
    ///
    /// # Errors
    /// If it is an image with headers that do not fit it.
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let (kind, hash) = hash(bytes).ok_or_else(|| Error::Damaged(name.to_owned()))?;
        Ok(Self {
            name: Some(name.to_owned()),
            kind,
            hash,
        })
    }
}

impl Catalog {
    /// The catalog of a package with these files, for these hardware ids.
    #[must_use]
    pub fn new(time: DateTime, mut members: Vec<Member>, hardware_ids: &[String]) -> Self {
        members.sort_by_key(|member| member.hash);
        let mut attributes = vec![("OS".to_owned(), OS.to_owned())];
        for (number, id) in hardware_ids.iter().enumerate() {
            attributes.push((format!("HWID{}", number + 1), id.to_lowercase()));
        }
        Self {
            time,
            members,
            attributes,
        }
    }

    /// The hardware ids that it names, in lower case.
    pub fn hardware_ids(&self) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(|(name, _)| name.starts_with("HWID"))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a file is one that the catalog was made for.
    ///
    /// # Errors
    /// [`Error::NotListed`] if not, [`Error::Damaged`] if it has no hash.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (_, hash) = hash(bytes).ok_or_else(|| Error::Damaged(name.to_owned()))?;
        if self.members.iter().any(|member| member.hash == hash) {
            Ok(())
        } else {
            Err(Error::NotListed(name.to_owned()))
        }
    }

    /// The catalog as a file, without a signature.
    ///
    /// # Errors
    /// If a name or an attribute has characters beyond the basic plane of Unicode, or the time is after 2049.
    pub fn to_der(&self) -> Result<Vec<u8>, Error> {
        let subjects = self
            .members
            .iter()
            .map(subject)
            .collect::<Result<Vec<_>, _>>()?;
        let extensions = self
            .attributes
            .iter()
            .map(|(name, value)| Extension::new(oid::NAME_VALUE, &NameValue::new(name, value)?))
            .collect::<Result<Vec<_>, der::Error>>()?;
        let list = TrustList {
            usage: vec![oid::CATALOG_LIST],
            // Any value will do that tells catalogs apart.
            list_identifier: OctetString::new(identifier(&subjects.to_der()?))?,
            this_update: Time::UtcTime(UtcTime::from_date_time(self.time)?),
            algorithm: AlgorithmIdentifierOwned {
                oid: oid::CATALOG_LIST_MEMBER_2,
                parameters: Some(Any::from(Null)),
            },
            subjects,
            extensions: Some(extensions),
        };
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::new(),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: oid::TRUST_LIST,
                econtent: Some(Any::encode_from(&list)?),
            },
            certificates: None,
            crls: None,
            signer_infos: SetOfVec::new().into(),
        };
        let file = ContentInfo {
            content_type: oid::SIGNED_DATA,
            content: Any::encode_from(&signed)?,
        };
        Ok(file.to_der()?)
    }

    /// Reads a catalog's file.
    ///
    /// # Errors
    /// If it is none, or one of version 1, with SHA-1 hashes.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        let file = ContentInfo::from_der(bytes)?;
        if file.content_type != oid::SIGNED_DATA {
            return Err(Error::NoCatalog("it is no SignedData of PKCS #7"));
        }
        let signed: SignedData = file.content.decode_as()?;
        let content = signed.encap_content_info;
        let list: TrustList = match content.econtent {
            Some(list) if content.econtent_type == oid::TRUST_LIST => list.decode_as()?,
            _ => return Err(Error::NoCatalog("it has no certificate trust list")),
        };
        if list.algorithm.oid != oid::CATALOG_LIST_MEMBER_2 {
            return Err(Error::NoCatalog(
                "its members are not those of version 2, with SHA-256 hashes",
            ));
        }
        let members = list.subjects.iter().map(member);
        let attributes = list.extensions.unwrap_or_default();
        let attributes = attributes
            .iter()
            .filter(|extension| extension.id == oid::NAME_VALUE)
            .map(|extension| NameValue::from_der(extension.value.as_bytes())?.texts());
        Ok(Self {
            time: list.this_update.to_date_time(),
            members: members.collect::<Result<_, _>>()?,
            attributes: attributes.collect::<Result<_, Error>>()?,
        })
    }
}

fn identifier(bytes: &[u8]) -> Vec<u8> {
    hash::sha256(bytes)[..16].to_vec()
}

fn subject(member: &Member) -> Result<TrustedSubject, der::Error> {
    let mut attributes = vec![
        Attribute::new(oid::NAME_VALUE, &NameValue::new("OSAttr", OS_ATTRIBUTE)?)?,
        Attribute::new(
            oid::INDIRECT_DATA,
            &IndirectData::new(member.kind, &member.hash)?,
        )?,
        // No further members are hashed along with this one.
        Attribute::new(
            oid::MEMBER_INFO_2,
            &Any::new(asn1::EMPTY_MEMBER_INFO, &[][..])?,
        )?,
    ];
    if let Some(name) = &member.name {
        attributes.push(Attribute::new(
            oid::NAME_VALUE,
            &NameValue::new("File", name)?,
        )?);
    }
    Ok(TrustedSubject {
        identifier: OctetString::new(&member.hash[..])?,
        attributes: SetOfVec::try_from(attributes)?,
    })
}

fn member(subject: &TrustedSubject) -> Result<Member, Error> {
    let hash: Hash = subject
        .identifier
        .as_bytes()
        .try_into()
        .map_err(|_| Error::NoCatalog("a member's hash is not of 32 bytes"))?;
    let mut name = None;
    let mut data = None;
    for attribute in subject.attributes.iter() {
        for value in attribute.values.iter() {
            if attribute.id == oid::NAME_VALUE {
                let (key, text) = value.decode_as::<NameValue>()?.texts()?;
                if key == "File" {
                    name = Some(text);
                }
            } else if attribute.id == oid::INDIRECT_DATA {
                data = Some(value.decode_as::<IndirectData>()?);
            }
        }
    }
    let data = data.ok_or(Error::NoCatalog("a member has no indirect data"))?;
    if data.digest() != hash {
        return Err(Error::NoCatalog("a member has two different hashes"));
    }
    Ok(Member {
        name,
        kind: data.kind(),
        hash,
    })
}

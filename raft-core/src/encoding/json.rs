//! Recorded runs in JSON, or whatever else `serde` writes: the same structs as in protobuf, so what is read back goes through the same
//! checks. Bytes are hexadecimal digits, values of enumerations their names, and runs, entries and readies, which protobuf carries in
//! their encoding, are taken apart.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{recording, wire};
use crate::recording::{RecordedStart, RecordedStep};

impl Serialize for RecordedStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        recording::wire_start(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        recording::start(wire::RecordedStart::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for RecordedStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        recording::wire_step(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        recording::step(wire::RecordedStep::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<E: serde::de::Error>(text: &str) -> Result<Bytes, E> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |two: &[u8]| match two {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.map(Bytes::from).ok_or_else(|| E::custom("bytes are an even number of hexadecimal digits"))
}

pub(super) mod hex {
    use super::{Bytes, Deserialize, Deserializer, Serializer, String, from_hex, to_hex};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        from_hex(&String::deserialize(deserializer)?)
    }
}

pub(super) mod hex_list {
    use super::{Bytes, Deserialize, Deserializer, Serializer, String, Vec, from_hex, to_hex};

    pub(in super::super) fn serialize<S: Serializer>(
        list: &[Bytes],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| to_hex(bytes)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bytes>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| from_hex(text)).collect()
    }
}

/// What is encoded within something else: taken apart where that loses nothing, else its bytes, as those of an entry with fields of
/// a newer version.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Nested<T> {
    Understood(T),
    Raw(String),
}

impl<T: prost::Message + Default + Serialize + DeserializeOwned> Nested<T> {
    fn of(bytes: &Bytes) -> Nested<T> {
        match T::decode(Bytes::clone(bytes)) {
            Ok(understood) if understood.encode_to_vec() == *bytes => Nested::Understood(understood),
            _ => Nested::Raw(to_hex(bytes)),
        }
    }

    fn into_bytes<E: serde::de::Error>(self) -> Result<Bytes, E> {
        match self {
            Nested::Understood(understood) => Ok(understood.encode_to_vec().into()),
            Nested::Raw(text) => from_hex(&text),
        }
    }
}

macro_rules! nested_list {
    ($name:ident, $message:ident) => {
        pub(super) mod $name {
            use super::{Bytes, Deserialize, Deserializer, Nested, Serializer, Vec, wire};

            pub(in super::super) fn serialize<S: Serializer>(
                list: &[Bytes],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(list.iter().map(Nested::<wire::$message>::of))
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Vec<Bytes>, D::Error> {
                let list = Vec::<Nested<wire::$message>>::deserialize(deserializer)?;
                list.into_iter().map(Nested::into_bytes).collect()
            }
        }
    };
}

nested_list!(runs, Run);
nested_list!(entries, Entry);

pub(super) mod ready {
    use super::{Bytes, Deserialize, Deserializer, Nested, Serialize, Serializer, wire};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Nested::<wire::RecordedReady>::of(bytes).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        Nested::<wire::RecordedReady>::deserialize(deserializer)?.into_bytes()
    }
}

macro_rules! by_name {
    ($name:ident, $values:ty) => {
        pub(super) mod $name {
            use serde::de::Error as _;

            use super::{Deserialize, Deserializer, Serialize, Serializer, String, wire};

            pub(in super::super) fn serialize<S: Serializer>(
                value: &i32,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                // A value of a newer version has no name here.
                match <$values>::try_from(*value) {
                    Ok(known) => known.as_str_name().serialize(serializer),
                    Err(_) => value.serialize(serializer),
                }
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<i32, D::Error> {
                let name = String::deserialize(deserializer)?;
                let known = <$values>::from_str_name(&name);
                known.map(i32::from).ok_or_else(|| D::Error::custom("a name that this version does not know"))
            }
        }
    };
}

by_name!(suffrage, wire::Suffrage);
by_name!(refusal, wire::Refusal);
by_name!(role, wire::recorded_event::RoleKind);
by_name!(fault, wire::recorded_event::Fault);

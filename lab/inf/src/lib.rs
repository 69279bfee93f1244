//! INF files: what they say, and what Windows' setup would write for them.
//!
//! [`read_folder`] takes a driver package as it is shipped, a folder of INF and .sys files, and returns for each INF what
//! binding one of its devices does: services, registry values, filters, images. The grammar and the meaning of each
//! directive are those of Microsoft's "INF Files" reference (General Guidelines for INF Files, INF Manufacturer, Models,
//! DDInstall, AddService, AddReg, DelReg, CopyFiles pages); where setup is lenient about what is surely a mistake, this is
//! not, and says file and line.
#![forbid(unsafe_code)]

mod document;
mod error;
mod install;
mod lexer;
mod models;
mod network;
mod package;
mod registry;
mod service;
mod text;

pub use document::{Document, Line, Section};
pub use error::{Error, Problem};
pub use models::Windows;
pub use package::{catalog, describe, read, read_folder};

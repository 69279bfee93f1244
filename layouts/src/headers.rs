//! What a WDK's headers say: bindgen (libclang) reads them for x64 Windows, and what it writes is read again.

use crate::abi::{Signature, Types, value_of};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A header and what it needs to be told before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// What it is, for messages
    pub name: &'static str,
    /// The text that includes the headers
    pub text: &'static str,
    /// Macros
    pub definitions: &'static [&'static str],
}

/// The kernel's own headers.
pub const KERNEL: Unit = Unit {
    name: "ntddk.h",
    text: "#include <ntddk.h>\n",
    definitions: &[],
};

/// StorPort's.
pub const STORPORT: Unit = Unit {
    name: "storport.h",
    text: "#include <ntddk.h>\n#include <storport.h>\n",
    definitions: &[],
};

/// NDIS' for miniports.
pub const NDIS: Unit = Unit {
    name: "ndis.h",
    text: "#include <ntddk.h>\n#include <ndis.h>\n",
    definitions: &[
        "NDIS_MINIPORT_DRIVER=1",
        "NDIS_WDM=1",
        "NDIS687_MINIPORT=1",
        "NDIS_SUPPORT_NDIS687=1",
    ],
};

/// The folders of headers in a WDK: `Include\<version>\{km,shared,um}`.
#[derive(Clone, Debug)]
pub struct Wdk {
    /// The version's folder
    pub folder: PathBuf,
    includes: Vec<PathBuf>,
}

impl Wdk {
    /// Looks for the newest version below `folder/Include`.
    ///
    /// # Errors
    /// If there is none with its `km` and `shared` folders: what was looked for, and where.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        let include = entry_named(folder, "Include").with_context(|| {
            format!(
                "{} is no WDK: it has no folder Include; copy Include\\<version> with km, shared and um from an installed WDK",
                folder.display()
            )
        })?;
        let mut versions: Vec<(Vec<u32>, PathBuf)> = std::fs::read_dir(&include)?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let version = path
                    .file_name()?
                    .to_str()?
                    .split('.')
                    .map(|part| part.parse().ok())
                    .collect::<Option<Vec<u32>>>()?;
                (entry_named(&path, "km").is_some() && entry_named(&path, "shared").is_some())
                    .then_some((version, path))
            })
            .collect();
        versions.sort();
        let Some((_, folder)) = versions.pop() else {
            bail!(
                "{} has no folder <version> with km and shared in it, as 10.0.26100.0; copy them from an installed WDK",
                include.display()
            );
        };
        let km = entry_named(&folder, "km").context("km was there a moment ago")?;
        let mut includes = Vec::new();
        includes.extend(entry_named(&km, "crt"));
        includes.push(km);
        for name in ["shared", "um", "ucrt"] {
            includes.extend(entry_named(&folder, name));
        }
        Ok(Self { folder, includes })
    }

    /// The dialect of C that the headers are written in: Microsoft's, or GCC's where they are mingw-w64's, which bring
    /// declarations of the compiler's intrinsics of their own.
    fn dialect(&self) -> &'static [&'static str] {
        let is_mingw = self
            .includes
            .iter()
            .any(|folder| folder.join("_mingw.h").exists());
        if is_mingw {
            &[
                "-fno-ms-compatibility",
                "-D__IMMINTRIN_H",
                "-D__X86INTRIN_H",
            ]
        } else {
            &["-fms-compatibility", "-fms-compatibility-version=19.40"]
        }
    }

    /// A file for clang's `-ivfsoverlay` by which the headers find each other though Windows' file names know no case.
    fn overlay(&self) -> anyhow::Result<serde_json::Value> {
        let mut roots = Vec::new();
        for folder in &self.includes {
            overlay_of(folder, &mut roots)?;
        }
        Ok(json!({ "version": 0, "case-sensitive": false, "roots": roots }))
    }
}

fn overlay_of(folder: &Path, roots: &mut Vec<serde_json::Value>) -> anyhow::Result<()> {
    let mut contents = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.is_dir() {
            overlay_of(&path, roots)?;
        } else {
            contents.push(json!({ "type": "file", "name": name, "external-contents": path }));
        }
    }
    roots.push(json!({ "type": "directory", "name": folder, "contents": contents }));
    Ok(())
}

/// An entry by its name in any case.
fn entry_named(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?
            .to_str()?
            .eq_ignore_ascii_case(name)
            .then_some(path)
    })
}

/// A structure of the headers.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Bytes
    pub size: u64,
    /// Bytes
    pub align: u64,
    /// Offsets by field, in bytes
    pub offsets: BTreeMap<String, u64>,
    /// Sizes by field, in bytes
    pub field_sizes: BTreeMap<String, u64>,
}

/// All that the headers of a unit say.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Structures and unions by all their names
    pub layouts: BTreeMap<String, Layout>,
    /// Constants: macros and enumerators
    pub constants: BTreeMap<String, i128>,
    /// Functions and function types
    pub functions: BTreeMap<String, Signature>,
}

/// Reads the headers of a unit.
///
/// # Errors
/// What clang says of them.
pub fn read(wdk: &Wdk, unit: &Unit) -> anyhow::Result<Headers> {
    let scratch = tempfile::tempdir()?;
    let overlay = scratch.path().join("overlay.json");
    std::fs::write(&overlay, serde_json::to_vec(&wdk.overlay()?)?)?;
    // A file, since bindgen evaluates macros with casts only for those.
    let header = scratch.path().join("unit.h");
    std::fs::write(&header, unit.text)?;
    let mut builder = bindgen::Builder::default()
        .header(header.to_string_lossy())
        .layout_tests(true)
        .generate_comments(false)
        .generate_inline_functions(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .translate_enum_integer_types(true)
        .formatter(bindgen::Formatter::None)
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(scratch.path())
        .detect_include_paths(false)
        // Structures without definition anywhere, which the kernel's headers name by value.
        .opaque_type("_KGDTENTRY64")
        .opaque_type("_KIDTENTRY64")
        .clang_args([
            "--target=x86_64-pc-windows-msvc",
            "-fms-extensions",
            "-fno-builtin",
            "-w",
            "-D_WIN64",
            "-D_AMD64_",
            "-DAMD64",
            "-D_WIN32_WINNT=0x0A00",
            "-DWINVER=0x0A00",
            "-DWINNT=1",
            "-DNTDDI_VERSION=0x0A000010",
            "-D_KERNEL_MODE=1",
        ])
        .clang_args(wdk.dialect())
        .clang_arg(format!("-ivfsoverlay{}", overlay.display()));
    for definition in unit.definitions {
        builder = builder.clang_arg(format!("-D{definition}"));
    }
    for include in &wdk.includes {
        builder = builder.clang_arg(format!("-I{}", include.display()));
    }
    let bindings = builder
        .generate()
        .with_context(|| format!("{} of {} cannot be read", unit.name, wdk.folder.display()))?;
    understand(&bindings.to_string())
}

/// Reads what bindgen wrote.
fn understand(bindings: &str) -> anyhow::Result<Headers> {
    let syntax = syn::parse_file(bindings).context("what bindgen wrote is not Rust")?;
    let mut headers = Headers::default();
    let mut types = Types::default();
    let mut structures: Vec<(&syn::Ident, &syn::Fields)> = Vec::new();
    for item in &syntax.items {
        match item {
            syn::Item::Type(alias) => {
                types
                    .aliases
                    .insert(alias.ident.to_string(), (*alias.ty).clone());
            }
            syn::Item::Struct(structure) => structures.push((&structure.ident, &structure.fields)),
            syn::Item::Const(constant) if constant.ident == "_" => {
                layout_test(&constant.expr, &mut headers.layouts);
            }
            _ => {}
        }
    }
    for (name, layout) in &headers.layouts {
        types.sizes.insert(name.clone(), layout.size);
    }
    for (name, fields) in structures {
        let Some(layout) = headers.layouts.get_mut(&name.to_string()) else {
            continue;
        };
        for field in fields {
            if let (Some(field_name), Some(size)) = (&field.ident, types.size(&field.ty)) {
                layout.field_sizes.insert(field_name.to_string(), size);
            }
        }
    }
    constants_and_functions(&syntax, &types, &mut headers);
    name_layouts(&types, &mut headers);
    Ok(headers)
}

fn constants_and_functions(syntax: &syn::File, types: &Types, headers: &mut Headers) {
    for item in &syntax.items {
        match item {
            syn::Item::Const(constant) => {
                if let Some(value) = value_of(&constant.expr) {
                    headers.constants.insert(constant.ident.to_string(), value);
                }
            }
            syn::Item::ForeignMod(foreign) => {
                for item in &foreign.items {
                    let syn::ForeignItem::Fn(function) = item else {
                        continue;
                    };
                    let signature = types.function(&function.sig);
                    headers
                        .functions
                        .insert(function.sig.ident.to_string(), signature);
                }
            }
            syn::Item::Type(alias) => {
                if let Some(function) = function_type(&alias.ty) {
                    let signature = types.function_type(function);
                    headers.functions.insert(alias.ident.to_string(), signature);
                }
            }
            _ => {}
        }
    }
}

/// The function type in `Option<unsafe extern "C" fn(…)>`.
fn function_type(ty: &syn::Type) -> Option<&syn::TypeBareFn> {
    match ty {
        syn::Type::BareFn(function) => Some(function),
        syn::Type::Path(path) => {
            let syn::PathArguments::AngleBracketed(arguments) =
                &path.path.segments.last()?.arguments
            else {
                return None;
            };
            arguments.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Type(inner) => function_type(inner),
                _ => None,
            })
        }
        _ => None,
    }
}

/// A `typedef struct _A {…} A;` has its layout under both names.
fn name_layouts(types: &Types, headers: &mut Headers) {
    for (alias, ty) in &types.aliases {
        let mut target = ty;
        // Aliases of aliases are few; a cycle cannot be in C.
        for _ in 0..8 {
            let syn::Type::Path(path) = target else { break };
            let Some(name) = path.path.get_ident().map(ToString::to_string) else {
                break;
            };
            if let Some(layout) = headers.layouts.get(&name) {
                let layout = layout.clone();
                headers.layouts.entry(alias.clone()).or_insert(layout);
                break;
            }
            let Some(next) = types.aliases.get(&name) else {
                break;
            };
            target = next;
        }
    }
}

/// `{ ["Size of A"][size_of::<A>() - 16usize]; ["Offset of field: A::B"][offset_of!(A, B) - 8usize]; … }`
fn layout_test(expression: &syn::Expr, layouts: &mut BTreeMap<String, Layout>) {
    let syn::Expr::Block(block) = expression else {
        return;
    };
    for statement in &block.block.stmts {
        let syn::Stmt::Expr(syn::Expr::Index(index), _) = statement else {
            continue;
        };
        let (Some(claim), Some(value)) = (claim_of(&index.expr), subtrahend(&index.index)) else {
            continue;
        };
        if let Some(name) = claim.strip_prefix("Size of ") {
            layouts.entry(name.to_owned()).or_default().size = value;
        } else if let Some(name) = claim.strip_prefix("Alignment of ") {
            layouts.entry(name.to_owned()).or_default().align = value;
        } else if let Some((name, field)) = claim
            .strip_prefix("Offset of field: ")
            .and_then(|path| path.split_once("::"))
        {
            layouts
                .entry(name.to_owned())
                .or_default()
                .offsets
                .insert(field.to_owned(), value);
        }
    }
}

fn claim_of(expression: &syn::Expr) -> Option<String> {
    let syn::Expr::Array(array) = expression else {
        return None;
    };
    match array.elems.first()? {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

fn subtrahend(expression: &syn::Expr) -> Option<u64> {
    let syn::Expr::Binary(binary) = expression else {
        return None;
    };
    u64::try_from(value_of(&binary.right)?).ok()
}

//! What the crates declare of Windows' kernel: read from their sources, where layouts stand in `assert_layout!`, `layout!`,
//! `revision_size!` and plain assertions, and the C name of a constant is the first word in backticks of its documentation.

use crate::abi::{Signature, Types, value_of};
use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use std::path::Path;
use syn::visit::Visit;

/// Where something is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source file, below its crate's folder
    pub file: String,
    /// The line
    pub line: usize,
}

/// A figure of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Its size in bytes.
    Size(u64),
    /// Its alignment in bytes.
    Align(u64),
    /// The offset of a field in bytes.
    Offset(String, u64),
    /// The size up to and with a field, in bytes.
    Through(String, u64),
}

/// All that a crate declares.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// Figures of structures: name, figure, place
    pub figures: Vec<(String, Figure, Place)>,
    /// Constants by their C names
    pub constants: Vec<(String, i128, Place)>,
    /// Functions and function types by their C names
    pub functions: Vec<(String, Signature, Place)>,
}

/// Reads all sources below a crate's `src`.
///
/// # Errors
/// A source that cannot be read or is not Rust.
pub fn read(crate_folder: &Path) -> anyhow::Result<Declarations> {
    let mut files = Vec::new();
    collect(&crate_folder.join("src"), &mut files)?;
    files.sort();
    let mut parsed = Vec::new();
    let mut types = Types::default();
    for file in &files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("{} is not Rust", file.display()))?;
        let name = file
            .strip_prefix(crate_folder)
            .unwrap_or(file)
            .display()
            .to_string();
        parsed.push((name, syntax));
    }
    for (_, syntax) in &parsed {
        AliasReader(&mut types).visit_file(syntax);
    }
    let mut declarations = Declarations::default();
    // Sizes first: prototypes need them.
    for (file, syntax) in &parsed {
        Reader {
            file,
            types: &types,
            declarations: &mut declarations,
            functions: false,
        }
        .visit_file(syntax);
    }
    for (name, figure, _) in &declarations.figures {
        if let Figure::Size(bytes) = figure {
            types.sizes.insert(name.clone(), *bytes);
        }
    }
    for (file, syntax) in &parsed {
        Reader {
            file,
            types: &types,
            declarations: &mut declarations,
            functions: true,
        }
        .visit_file(syntax);
    }
    Ok(declarations)
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

struct AliasReader<'a>(&'a mut Types);

impl<'ast> Visit<'ast> for AliasReader<'_> {
    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.0
            .aliases
            .insert(item.ident.to_string(), (*item.ty).clone());
    }
}

struct Reader<'a> {
    file: &'a str,
    types: &'a Types,
    declarations: &'a mut Declarations,
    functions: bool,
}

impl Reader<'_> {
    fn place(&self, span: proc_macro2::Span) -> Place {
        Place {
            file: self.file.to_owned(),
            line: span.start().line,
        }
    }

    fn figure(&mut self, name: &str, figure: Figure, place: &Place) {
        self.declarations
            .figures
            .push((name.to_owned(), figure, place.clone()));
    }

    fn constant(&mut self, attributes: &[syn::Attribute], value: i128, place: &Place) {
        if let Some(name) = documented_name(attributes) {
            self.declarations
                .constants
                .push((name, value, place.clone()));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if self.functions {
            return;
        }
        let place = self.place(item.ident.span());
        if item.ident == "_" {
            AssertReader {
                reader: self,
                place,
            }
            .visit_expr(&item.expr);
        } else if let Some(value) = value_of(&item.expr) {
            self.constant(&item.attrs, value, &place);
        }
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        if !self.functions
            && let Some(value) = value_of(&item.expr)
        {
            let place = self.place(item.ident.span());
            self.constant(&item.attrs, value, &place);
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let Some(name) = item.mac.path.get_ident().map(ToString::to_string) else {
            return;
        };
        if self.functions || item.ident.is_some() {
            return;
        }
        let tokens: Vec<TokenTree> = item.mac.tokens.clone().into_iter().collect();
        let place = self.place(item.mac.path.segments[0].ident.span());
        match name.as_str() {
            "assert_layout" => self.assert_layout(&tokens, &place),
            "layout" => self.layout(&tokens),
            "revision_size" => self.revision_size(&tokens, &place),
            "statuses" => self.statuses(&tokens),
            _ => {}
        }
    }

    fn visit_foreign_item_fn(&mut self, item: &'ast syn::ForeignItemFn) {
        if !self.functions {
            return;
        }
        let signature = self.types.function(&item.sig);
        let name = link_name(&item.attrs).unwrap_or_else(|| item.sig.ident.to_string());
        let place = self.place(item.sig.ident.span());
        self.declarations.functions.push((name, signature, place));
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        if !self.functions {
            return;
        }
        let syn::Type::BareFn(function) = &*item.ty else {
            return;
        };
        let signature = self.types.function_type(function);
        let name = item.ident.to_string();
        // A function type of the DDI is named as the DDI names it; others are the crate's own.
        if name.chars().all(|letter| !letter.is_ascii_lowercase()) {
            let place = self.place(item.ident.span());
            self.declarations.functions.push((name, signature, place));
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"));
        if !is_test {
            syn::visit::visit_item_mod(self, item);
        }
    }
}

impl Reader<'_> {
    /// `NAME, size N, align N, { Field @ N, … }`
    fn assert_layout(&mut self, tokens: &[TokenTree], place: &Place) {
        let Some(TokenTree::Ident(name)) = tokens.first() else {
            return;
        };
        let name = name.to_string();
        for pair in tokens.windows(2) {
            match pair {
                [TokenTree::Ident(word), TokenTree::Literal(value)] => {
                    let Some(value) = number(value) else { continue };
                    if word == "size" {
                        self.figure(&name, Figure::Size(value), place);
                    } else if word == "align" {
                        self.figure(&name, Figure::Align(value), place);
                    }
                }
                _ => {
                    if let [_, TokenTree::Group(group)] = pair {
                        self.fields(&name, group.stream());
                    }
                }
            }
        }
    }

    /// `Field @ N, …` or `Field: N, …`
    fn fields(&mut self, name: &str, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        for triple in tokens.windows(3) {
            if let [
                TokenTree::Ident(field),
                TokenTree::Punct(_),
                TokenTree::Literal(value),
            ] = triple
                && let Some(offset) = number(value)
            {
                let place = self.place(field.span());
                self.figure(name, Figure::Offset(field.to_string(), offset), &place);
            }
        }
    }

    /// `NAME: SIZE { Field: N, … } …`
    fn layout(&mut self, tokens: &[TokenTree]) {
        for four in tokens.windows(4) {
            if let [
                TokenTree::Ident(name),
                TokenTree::Punct(_),
                TokenTree::Literal(size),
                TokenTree::Group(fields),
            ] = four
                && let Some(size) = number(size)
            {
                let place = self.place(name.span());
                let name = name.to_string();
                self.figure(&name, Figure::Size(size), &place);
                self.fields(&name, fields.stream());
            }
        }
    }

    /// `#[doc] NAME = SIZE, TYPE up to Field: type`
    fn revision_size(&mut self, tokens: &[TokenTree], place: &Place) {
        let words: Vec<String> = tokens.iter().map(ToString::to_string).collect();
        let Some(equals) = words.iter().position(|word| word == "=") else {
            return;
        };
        let (Some(TokenTree::Literal(size)), Some(name), Some(field)) = (
            tokens.get(equals + 1),
            words.get(equals + 3),
            words.get(equals + 6),
        ) else {
            return;
        };
        if let Some(size) = number(size) {
            self.figure(name, Figure::Through(field.clone(), size), place);
        }
    }

    /// `/// `C_NAME`. NAME = value, …`, which are 32-bit numbers read as signed ones.
    fn statuses(&mut self, tokens: &[TokenTree]) {
        let mut documented: Option<String> = None;
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    let text = group.stream().to_string();
                    let text = text
                        .strip_prefix("doc")
                        .map(|rest| rest.trim_start_matches([' ', '=', '"', 'r', '#']));
                    if let Some(name) = text.and_then(in_backticks) {
                        documented.get_or_insert(name);
                    }
                }
                TokenTree::Literal(value) => {
                    let place = self.place(value.span());
                    if let (Some(value), Some(name)) = (number(value), documented.take()) {
                        let signed = i128::from((value as u32).cast_signed());
                        self.declarations.constants.push((name, signed, place));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Assertions on `size_of` and `offset_of!` in a `const _`.
struct AssertReader<'a, 'b> {
    reader: &'a mut Reader<'b>,
    place: Place,
}

impl<'ast> Visit<'ast> for AssertReader<'_, '_> {
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if !mac.path.is_ident("assert") {
            return;
        }
        let Ok(condition) = mac.parse_body_with(|input: syn::parse::ParseStream<'_>| {
            let condition: syn::Expr = input.parse()?;
            let _rest: TokenStream = input.parse()?;
            Ok(condition)
        }) else {
            return;
        };
        let syn::Expr::Binary(syn::ExprBinary {
            left,
            op: syn::BinOp::Eq(_),
            right,
            ..
        }) = condition
        else {
            return;
        };
        let Some(value) = value_of(&right).and_then(|value| u64::try_from(value).ok()) else {
            return;
        };
        match &*left {
            syn::Expr::Macro(offset)
                if offset
                    .mac
                    .path
                    .segments
                    .last()
                    .is_some_and(|name| name.ident == "offset_of") =>
            {
                let words: Vec<String> = offset
                    .mac
                    .tokens
                    .clone()
                    .into_iter()
                    .map(|token| token.to_string())
                    .collect();
                if let [name, comma, field] = &*words
                    && comma == ","
                {
                    let figure = Figure::Offset(field.clone(), value);
                    self.reader.figure(name, figure, &self.place);
                }
            }
            syn::Expr::Call(call) => {
                let syn::Expr::Path(path) = &*call.func else {
                    return;
                };
                let Some(last) = path.path.segments.last() else {
                    return;
                };
                if last.ident == "size_of"
                    && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
                    && let Some(syn::GenericArgument::Type(syn::Type::Path(ty))) =
                        arguments.args.first()
                    && let Some(name) = ty.path.get_ident()
                {
                    let figure = Figure::Size(value);
                    self.reader.figure(&name.to_string(), figure, &self.place);
                }
            }
            _ => {}
        }
    }
}

fn number(literal: &proc_macro2::Literal) -> Option<u64> {
    syn::parse_str::<syn::LitInt>(&literal.to_string())
        .ok()?
        .base10_parse()
        .ok()
}

/// The name in backticks that an item's documentation begins with, unless it goes on with other names.
fn documented_name(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) = &pair.value
        else {
            return None;
        };
        in_backticks(&text.value())
    })
}

fn in_backticks(text: &str) -> Option<String> {
    let (name, rest) = text.trim_start().strip_prefix('`')?.split_once('`')?;
    if [", `", " and", " or", "…"]
        .iter()
        .any(|more| rest.starts_with(more))
    {
        return None;
    }
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then(|| name.to_owned())
}

fn link_name(attributes: &[syn::Attribute]) -> Option<String> {
    attributes
        .iter()
        .find_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("link_name") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Str(name),
                    ..
                }) => Some(name.value()),
                _ => None,
            },
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Declarations {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), text).unwrap();
        read(folder.path()).unwrap()
    }

    #[test]
    fn layouts_are_read_from_every_form_in_which_they_are_asserted() {
        let ours = read_text(
            "assert_layout!(A, size 16, align 8, { One @ 0, Two @ 8 });\n\
             layout! { B: 24 { Three: 4 } C: 8 {} }\n\
             revision_size!(/// `SIZEOF_A_1`.\nSIZEOF_A_1 = 0xC, A up to Two: u32);\n\
             const _: () = { assert!(offset_of!(D, Four) == 32); assert!(size_of::<D>() == 40, \"why\"); };",
        );
        let figures: Vec<_> = ours
            .figures
            .iter()
            .map(|(name, figure, _)| (name.as_str(), figure.clone()))
            .collect();
        assert_eq!(
            figures,
            [
                ("A", Figure::Size(16)),
                ("A", Figure::Align(8)),
                ("A", Figure::Offset("One".into(), 0)),
                ("A", Figure::Offset("Two".into(), 8)),
                ("B", Figure::Size(24)),
                ("B", Figure::Offset("Three".into(), 4)),
                ("C", Figure::Size(8)),
                ("A", Figure::Through("Two".into(), 12)),
                ("D", Figure::Offset("Four".into(), 32)),
                ("D", Figure::Size(40)),
            ]
        );
    }

    #[test]
    fn a_constant_has_the_name_that_its_documentation_gives_first() {
        let ours = read_text(
            "pub mod m {\n/// `SRB_FUNCTION_FLUSH`, see `X`.\npub const FLUSH: u8 = 1 << 3;\n\
             /// Ours.\npub const OWN: u8 = 1;\n}\n\
             statuses! { /// `NDIS_STATUS_FAILURE`.\nFAILURE = 0xC000_0001, }",
        );
        let constants: Vec<_> = ours
            .constants
            .iter()
            .map(|(name, value, _)| (name.as_str(), *value))
            .collect();
        assert_eq!(
            constants,
            [
                ("SRB_FUNCTION_FLUSH", 8),
                (
                    "NDIS_STATUS_FAILURE",
                    i128::from(0xC000_0001_u32.cast_signed())
                )
            ]
        );
    }

    #[test]
    fn prototypes_are_read_with_their_types_resolved() {
        let ours = read_text(
            "pub type HANDLE = *mut c_void;\n\
             unsafe extern \"C\" { pub fn Open(name: *const u16, handle: HANDLE, mode: u32, ...) -> i32; }\n\
             pub type HW_START = unsafe extern \"C\" fn(context: HANDLE) -> u8;",
        );
        let functions: Vec<_> = ours
            .functions
            .iter()
            .map(|(name, signature, _)| (name.as_str(), signature.to_string()))
            .collect();
        assert_eq!(
            functions,
            [
                (
                    "Open",
                    "(a pointer, a pointer, 4 bytes, ...) -> 4 bytes".to_owned()
                ),
                ("HW_START", "(a pointer) -> 1 bytes".to_owned()),
            ]
        );
    }
}

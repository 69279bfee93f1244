//! How a type travels between caller and callee on x64 Windows, and how large it is.

use std::collections::BTreeMap;
use std::fmt;
use syn::{GenericArgument, PathArguments, Type};

/// A type, as a call sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// No value.
    Void,
    /// An integer, an enumeration, or a structure of that size: 1, 2, 4 or 8 bytes in a register
    /// (the x64 calling convention's "Parameter passing").
    Register(u64),
    /// A pointer, to data or code.
    Pointer,
    /// A larger structure: by reference to a copy.
    Memory(u64),
    /// A type that the declarations do not resolve.
    Unknown,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("nothing"),
            Self::Register(bytes) => write!(f, "{bytes} bytes"),
            Self::Pointer => f.write_str("a pointer"),
            Self::Memory(bytes) => write!(f, "a structure of {bytes} bytes"),
            Self::Unknown => f.write_str("a type that is not declared"),
        }
    }
}

/// A function's parameters and result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters
    pub parameters: Vec<Abi>,
    /// True if more may follow
    pub variadic: bool,
    /// The result
    pub result: Abi,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            parameter.fmt(f)?;
        }
        if self.variadic {
            f.write_str(", ...")?;
        }
        write!(f, ") -> {}", self.result)
    }
}

/// What names of types stand for.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// `type A = B;`
    pub aliases: BTreeMap<String, Type>,
    /// Sizes of structures and unions, in bytes
    pub sizes: BTreeMap<String, u64>,
}

impl Types {
    /// How a value of the type is passed.
    pub fn abi(&self, ty: &Type) -> Abi {
        match ty {
            Type::Ptr(_) | Type::BareFn(_) | Type::Reference(_) => Abi::Pointer,
            Type::Tuple(tuple) if tuple.elems.is_empty() => Abi::Void,
            Type::Never(_) => Abi::Void,
            Type::Paren(inner) => self.abi(&inner.elem),
            Type::Group(inner) => self.abi(&inner.elem),
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else {
                    return Abi::Unknown;
                };
                let name = last.ident.to_string();
                if name == "Option" {
                    return match &last.arguments {
                        PathArguments::AngleBracketed(arguments) => arguments
                            .args
                            .iter()
                            .find_map(|argument| match argument {
                                GenericArgument::Type(inner) => Some(self.abi(inner)),
                                _ => None,
                            })
                            .unwrap_or(Abi::Unknown),
                        _ => Abi::Unknown,
                    };
                }
                self.named(&name)
            }
            _ => match self.size(ty) {
                Some(bytes) => register_or_memory(bytes),
                None => Abi::Unknown,
            },
        }
    }

    fn named(&self, name: &str) -> Abi {
        if name == "c_void" {
            return Abi::Void;
        }
        if let Some(bytes) = primitive(name) {
            return Abi::Register(bytes);
        }
        match (self.aliases.get(name), self.sizes.get(name)) {
            (Some(Type::Path(path)), _) if path.path.is_ident(name) => Abi::Unknown,
            (Some(alias), _) => self.abi(alias),
            (None, Some(bytes)) => register_or_memory(*bytes),
            (None, None) => Abi::Unknown,
        }
    }

    /// The size of a value of the type, in bytes.
    pub fn size(&self, ty: &Type) -> Option<u64> {
        match ty {
            Type::Array(array) => {
                let syn::Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Int(count),
                    ..
                }) = &array.len
                else {
                    return None;
                };
                Some(self.size(&array.elem)? * count.base10_parse::<u64>().ok()?)
            }
            _ => match self.abi(ty) {
                Abi::Register(bytes) | Abi::Memory(bytes) => Some(bytes),
                Abi::Pointer => Some(8),
                Abi::Void | Abi::Unknown => None,
            },
        }
    }

    /// A declared function's signature.
    pub fn function(&self, function: &syn::Signature) -> Signature {
        let parameters = function.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => Some(&*typed.ty),
            syn::FnArg::Receiver(_) => None,
        });
        self.signature(parameters, function.variadic.is_some(), &function.output)
    }

    /// A function type's signature.
    pub fn function_type(&self, function: &syn::TypeBareFn) -> Signature {
        let parameters = function.inputs.iter().map(|input| &input.ty);
        self.signature(parameters, function.variadic.is_some(), &function.output)
    }

    fn signature<'a>(
        &self,
        parameters: impl Iterator<Item = &'a Type>,
        variadic: bool,
        result: &syn::ReturnType,
    ) -> Signature {
        Signature {
            parameters: parameters.map(|ty| self.abi(ty)).collect(),
            variadic,
            result: match result {
                syn::ReturnType::Default => Abi::Void,
                syn::ReturnType::Type(_, ty) => self.abi(ty),
            },
        }
    }
}

/// The value of a constant expression of integers.
pub fn value_of(expression: &syn::Expr) -> Option<i128> {
    match expression {
        syn::Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Int(value) => value.base10_parse().ok(),
            _ => None,
        },
        syn::Expr::Paren(inner) => value_of(&inner.expr),
        syn::Expr::Group(inner) => value_of(&inner.expr),
        syn::Expr::Unary(syn::ExprUnary {
            op: syn::UnOp::Neg(_),
            expr,
            ..
        }) => Some(-value_of(expr)?),
        syn::Expr::Binary(binary) => {
            let (left, right) = (value_of(&binary.left)?, value_of(&binary.right)?);
            match binary.op {
                syn::BinOp::Shl(_) => left.checked_shl(u32::try_from(right).ok()?),
                syn::BinOp::BitOr(_) => Some(left | right),
                syn::BinOp::Add(_) => left.checked_add(right),
                syn::BinOp::Mul(_) => left.checked_mul(right),
                _ => None,
            }
        }
        _ => None,
    }
}

fn register_or_memory(bytes: u64) -> Abi {
    match bytes {
        1 | 2 | 4 | 8 => Abi::Register(bytes),
        _ => Abi::Memory(bytes),
    }
}

/// Sizes on x64 Windows, where a long has 4 bytes.
fn primitive(name: &str) -> Option<u64> {
    Some(match name {
        "u8" | "i8" | "bool" | "c_char" | "c_schar" | "c_uchar" => 1,
        "u16" | "i16" | "c_short" | "c_ushort" => 2,
        "u32" | "i32" | "c_int" | "c_uint" | "c_long" | "c_ulong" | "f32" | "c_float" => 4,
        "u64" | "i64" | "usize" | "isize" | "c_longlong" | "c_ulonglong" | "f64" | "c_double" => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        let mut types = Types::default();
        types
            .aliases
            .insert("ULONG".into(), syn::parse_quote!(::core::ffi::c_ulong));
        types
            .aliases
            .insert("PVOID".into(), syn::parse_quote!(*mut c_void));
        types.sizes.insert("_LARGE_INTEGER".into(), 8);
        types.sizes.insert("_KDPC".into(), 64);
        types
    }

    #[test]
    fn types_are_what_a_register_holds() {
        let types = types();
        for (ty, abi) in [
            (syn::parse_quote!(ULONG), Abi::Register(4)),
            (syn::parse_quote!(PVOID), Abi::Pointer),
            (
                syn::parse_quote!(Option<unsafe extern "C" fn()>),
                Abi::Pointer,
            ),
            (syn::parse_quote!(_LARGE_INTEGER), Abi::Register(8)),
            (syn::parse_quote!(_KDPC), Abi::Memory(64)),
            (syn::parse_quote!(()), Abi::Void),
            (syn::parse_quote!(NOT_DECLARED), Abi::Unknown),
        ] {
            assert_eq!(types.abi(&ty), abi);
        }
        assert_eq!(types.size(&syn::parse_quote!([ULONG; 5usize])), Some(20));
    }
}

//! Memory: physical pages, kernel mappings, MDLs.

//! INF files: parsing, and what setup would write
#![no_std]

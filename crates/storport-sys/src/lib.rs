//! StorPort, SRB and SCSI declarations, layout-asserted
#![no_std]

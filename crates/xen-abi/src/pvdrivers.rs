//! Product numbers of PV drivers, told to the device model before an unplug (`hvm/pvdrivers.h`).

open_enum! {
    /// Who unplugs. The header is a list for a macro; its numbers have no C names of their own.
    Product(u16) {
        /// Citrix, xensource-windows.
        XENSOURCE_WINDOWS = 1 => "xensource-windows";
        /// James Harper's drivers.
        GPLPV_WINDOWS = 2 => "gplpv-windows";
        /// Linux.
        LINUX = 3 => "linux";
        /// XenServer 7.0 and later.
        XENSERVER_WINDOWS_7_0 = 4 => "xenserver-windows-v7.0+";
        /// XenServer 7.2 and later.
        XENSERVER_WINDOWS_7_2 = 5 => "xenserver-windows-v7.2+";
        /// A driver without a number of its own.
        EXPERIMENTAL = 0xffff => "experimental";
    }
}

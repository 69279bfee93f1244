//! Error numbers (`errno.h`): hypercalls return their negatives.

open_enum! {
    /// A positive Xen error number. The values are Linux' on x86, whatever the guest is.
    Errno(i32) {
        /// Operation not permitted.
        EPERM = 1 => "XEN_EPERM";
        /// No such entry.
        ENOENT = 2 => "XEN_ENOENT";
        /// No such domain or vCPU.
        ESRCH = 3 => "XEN_ESRCH";
        /// I/O error.
        EIO = 5 => "XEN_EIO";
        /// No such device or address.
        ENXIO = 6 => "XEN_ENXIO";
        /// Argument list too long.
        E2BIG = 7 => "XEN_E2BIG";
        /// Malformed image.
        ENOEXEC = 8 => "XEN_ENOEXEC";
        /// Bad handle.
        EBADF = 9 => "XEN_EBADF";
        /// Try again.
        EAGAIN = 11 => "XEN_EAGAIN";
        /// Out of memory.
        ENOMEM = 12 => "XEN_ENOMEM";
        /// Permission denied.
        EACCES = 13 => "XEN_EACCES";
        /// Bad guest address.
        EFAULT = 14 => "XEN_EFAULT";
        /// Busy.
        EBUSY = 16 => "XEN_EBUSY";
        /// Already exists.
        EEXIST = 17 => "XEN_EEXIST";
        /// Crosses devices.
        EXDEV = 18 => "XEN_EXDEV";
        /// No such device.
        ENODEV = 19 => "XEN_ENODEV";
        /// Not a directory.
        ENOTDIR = 20 => "XEN_ENOTDIR";
        /// Is a directory.
        EISDIR = 21 => "XEN_EISDIR";
        /// Invalid argument.
        EINVAL = 22 => "XEN_EINVAL";
        /// Table full.
        ENFILE = 23 => "XEN_ENFILE";
        /// Too many of one owner.
        EMFILE = 24 => "XEN_EMFILE";
        /// No space left: out of ports, entries or quota.
        ENOSPC = 28 => "XEN_ENOSPC";
        /// Read-only.
        EROFS = 30 => "XEN_EROFS";
        /// Too many links.
        EMLINK = 31 => "XEN_EMLINK";
        /// Argument out of the function's domain.
        EDOM = 33 => "XEN_EDOM";
        /// Out of range.
        ERANGE = 34 => "XEN_ERANGE";
        /// Would deadlock.
        EDEADLK = 35 => "XEN_EDEADLK";
        /// Name too long.
        ENAMETOOLONG = 36 => "XEN_ENAMETOOLONG";
        /// No locks available.
        ENOLCK = 37 => "XEN_ENOLCK";
        /// Not implemented by this Xen.
        ENOSYS = 38 => "XEN_ENOSYS";
        /// Not empty.
        ENOTEMPTY = 39 => "XEN_ENOTEMPTY";
        /// No data available.
        ENODATA = 61 => "XEN_ENODATA";
        /// Timer expired.
        ETIME = 62 => "XEN_ETIME";
        /// Not a data message.
        EBADMSG = 74 => "XEN_EBADMSG";
        /// Value too large.
        EOVERFLOW = 75 => "XEN_EOVERFLOW";
        /// Illegal byte sequence.
        EILSEQ = 84 => "XEN_EILSEQ";
        /// Not a socket.
        ENOTSOCK = 88 => "XEN_ENOTSOCK";
        /// Message too large.
        EMSGSIZE = 90 => "XEN_EMSGSIZE";
        /// Not supported.
        EOPNOTSUPP = 95 => "XEN_EOPNOTSUPP";
        /// Address in use.
        EADDRINUSE = 98 => "XEN_EADDRINUSE";
        /// Address not available.
        EADDRNOTAVAIL = 99 => "XEN_EADDRNOTAVAIL";
        /// No buffer space.
        ENOBUFS = 105 => "XEN_ENOBUFS";
        /// Already connected.
        EISCONN = 106 => "XEN_EISCONN";
        /// Not connected.
        ENOTCONN = 107 => "XEN_ENOTCONN";
        /// Timed out.
        ETIMEDOUT = 110 => "XEN_ETIMEDOUT";
        /// Refused.
        ECONNREFUSED = 111 => "XEN_ECONNREFUSED";
    }
}

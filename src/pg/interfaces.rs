//! The network interfaces of the server's machine, as `samehost` and `samenet` in pg_hba.conf need them.

use core::ffi::{c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc;
use password_audit::hba::Interface;

// src/include/libpq/ifaddr.h, which pgrx does not bind. The server's binary exports it.
unsafe extern "C-unwind" {
    fn pg_foreach_ifaddr(
        callback: unsafe extern "C-unwind" fn(
            *mut libc::sockaddr,
            *mut libc::sockaddr,
            *mut c_void,
        ),
        data: *mut c_void,
    ) -> c_int;
}

/// The interfaces as the server lists them for its rules. Asks no name server.
pub(crate) fn interfaces() -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    // SAFETY: the callback gets the vector back, on this thread, while the call lasts.
    unsafe { pg_foreach_ifaddr(add, (&raw mut found).cast()) };
    found
}

/// Called with the address and the netmask of each interface.
unsafe extern "C-unwind" fn add(
    address: *mut libc::sockaddr,
    netmask: *mut libc::sockaddr,
    data: *mut c_void,
) {
    // SAFETY: the server passes addresses whose family says their type, and the vector of `interfaces`.
    unsafe {
        let found = &mut *data.cast::<Vec<Interface>>();
        if let (Some(address), Some(netmask)) = (ip(address), ip(netmask)) {
            found.push(Interface { address, netmask });
        }
    }
}

/// # Safety
///
/// `address` is NULL or an address of the type that its family says.
unsafe fn ip(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller vouches.
    unsafe {
        match c_int::from(address.as_ref()?.sa_family) {
            libc::AF_INET => {
                let address = &*address.cast::<libc::sockaddr_in>();
                Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = &*address.cast::<libc::sockaddr_in6>();
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

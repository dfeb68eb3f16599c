//! Local control API on a Unix socket.

//! The provisioning use cases, generic over the ports.

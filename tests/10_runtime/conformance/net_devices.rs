//! net_devices

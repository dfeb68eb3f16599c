//! Reference Central Station: CA, device keys, QR scan, seal, push with pin, receipts.

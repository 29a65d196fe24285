"""What travels: messages, their encoding, and the seal around it. Pure: bytes in, values out."""

"""What a datagram costs one node of a quiet cluster, in the node alone and through real sockets."""

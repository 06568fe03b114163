"""Netlink: rtnetlink, WireGuard, XFRM, sock_diag and conntrack, as far as the datapath needs them."""

"""The one nftables table of this program: its rules, its elements, and the library that carries them."""

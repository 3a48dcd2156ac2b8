"""What the localisers on temporal pyramids share: attention within windows, levels, dense targets, decoding.

Every cell of every level says how likely it lies in a forgery and how far that forgery's ends are. Segments are shares
of the clip's duration at the edges of the package and cells of the finest level inside.
"""

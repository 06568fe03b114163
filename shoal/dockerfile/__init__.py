"""The language of Dockerfiles: from text to stages of typed instructions. Pure; nothing is read, run or expanded here
but what it is given."""

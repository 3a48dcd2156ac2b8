"""Media: probe a file, decode its picture and sound onto one clock, in a process that may die."""

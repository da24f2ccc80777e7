def build(record): return "x"

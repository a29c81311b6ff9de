"""Which precision is safe for a model, decided from data.

`ranges` watches a module in fp32, `planning` decides which modules stay in fp32 and proves it on
the same inputs, `recipe` holds the decision, and `variants` makes the two low-precision modules.

The rule behind both: each module runs its own operations in one dtype. What comes in is cast to
it, what goes out is cast to the dtype of the module that called it. So any choice of islands gives
a graph whose types agree, with every cast written out.
"""

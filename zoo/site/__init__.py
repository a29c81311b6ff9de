"""The zoo as a static web page, whose visitors' browsers restore: `unifmir zoo site`."""

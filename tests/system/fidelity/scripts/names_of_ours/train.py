import files
import keeper
import shim
import shim.order

print(files.OWN, keeper.OWN, shim.OWN, shim.order.OWN, shim.__file__)

#include "layeravatar/io/npy.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::Array array = io::parse_npy(bytes, "f");
    const io::Array again = io::parse_npy(io::format_npy(array), "again");
    fuzz::require(again.dtype == array.dtype && again.shape == array.shape && again.data == array.data, "not the same array");
    (void)io::to_floats(array);
    (void)io::to_integers(array, "f");
  });
}

// For threads that share the machine's cores among whole pieces of work.
#pragma once

namespace layeravatar::tensor {

/// Loops of the calling thread, OpenMP's and LibTorch's, run on it alone from now on.
void stay_on_one_thread();

}  // namespace layeravatar::tensor

#include "layeravatar/tensor/one_thread.h"

#include <ATen/Parallel.h>
#include <omp.h>

namespace layeravatar::tensor {

void stay_on_one_thread() {
  at::get_num_threads();  // LibTorch sets this thread's number at the first call
  omp_set_num_threads(1);
}

}  // namespace layeravatar::tensor

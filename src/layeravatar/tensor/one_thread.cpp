#include "layeravatar/tensor/one_thread.h"

#include <ATen/Parallel.h>
#include <omp.h>

namespace layeravatar::tensor {

void stay_on_one_thread() {
  at::get_num_threads();  // LibTorch sets this thread's number at the first call
  omp_set_num_threads(1);
}

OneThread::OneThread() {
  at::get_num_threads();
  before_ = omp_get_max_threads();
  omp_set_num_threads(1);
}

OneThread::~OneThread() { omp_set_num_threads(before_); }

}  // namespace layeravatar::tensor

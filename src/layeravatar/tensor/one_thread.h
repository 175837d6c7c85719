// For threads that share the machine's cores among whole pieces of work, and for results that do not depend on the number of threads.
#pragma once

namespace layeravatar::tensor {

/// Loops of the calling thread, OpenMP's and LibTorch's, run on it alone from now on.
void stay_on_one_thread();

/// They do while this lives.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace layeravatar::tensor

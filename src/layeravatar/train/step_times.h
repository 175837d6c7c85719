// Where an iteration's seconds go.
#pragma once
#include <chrono>

namespace layeravatar::train {

/// Seconds by stage of the work.
struct StepTimes {
  double load = 0, decode = 0, deform = 0, splat = 0, losses = 0, unet = 0, optimiser = 0;
};

/// Adds the time since the last lap to a counter.
class Stopwatch {
 public:
  void restart() { last_ = std::chrono::steady_clock::now(); }
  void lap(double& counter) {
    const auto now = std::chrono::steady_clock::now();
    counter += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace layeravatar::train

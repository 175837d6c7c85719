// Ways between two noises or two avatars' planes (spec/model.md section 12.5).
#pragma once
#include <torch/types.h>

#include <vector>

namespace layeravatar::produce {

/// `count` numbers evenly from 0 to 1, both ends exact; 1 gives {0}.
std::vector<double> even_steps(int count);

/// (1 - alpha) a + alpha b, of one shape; exactly a at 0 and b at 1.
torch::Tensor between(const torch::Tensor& a, const torch::Tensor& b, double alpha);

/// The same along the arc: sin((1 - alpha) u) / sin(u) a + sin(alpha u) / sin(u) b, u the angle between a and b as flat vectors, in
/// double. Where they are parallel or opposite, or one is zero, there is no arc: as `between`.
torch::Tensor along_arc(const torch::Tensor& a, const torch::Tensor& b, double alpha);

}  // namespace layeravatar::produce

"""What kind of file a rule of answers makes: the module that measures such files.

Every kind offers the same functions: `answering` for files that answer in one run of `serve`, which
most are, and others where a rule asks for it.

    SAYS                                 how it is compared, for a person who waits
    check_sizes(model, sizes, texts, fewest)  KzooError where so few of the texts fit a file
    distance(model, path, sizes, texts)  how far a file lies from Keras on texts
    distances(order, paths)              the same for some files of an order, {name: distance}
    golden(order, path)                  the golden examples
    shown(order, path, golden)           the answers of file and Keras to them, that a report shows
    golden_ids(tokenizer, manifest)      the ids of those of texts by today's tokenizer
    check_golden(folder, processor, manifest)  read and run a bundle's again: the largest
                                         difference, or KzooError
    run_again(predictor)                 the same without a tolerance: how many answers are equal,
                                         or None where that says nothing; the largest difference
    client_texts(texts)                  those of the shipped texts that clients answer too
    Opened(path, threads)                what runs a file
    takes(file, longest)                 how many tokens it takes, as a range
    usual_lengths(taken)                 those that are timed where nobody names others
    measure(files, lengths, rounds, threads)  milliseconds by file and length, and by token or None
    ROUNDS                               how often an export measures
"""

from . import answering, continuation

KINDS = {"continuation": continuation, "rewriting": continuation}


def kind_of(rule):
    """The module for a rule of `answers.RULES`, or for None, a backbone's."""
    return KINDS.get(rule, answering)
